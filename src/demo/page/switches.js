/** The switches on top: what the server breaks, whether the others write, whether panes and tabs share a connection. */

import { keep, kept } from "./keep.js";
import { look, set } from "./room.js";

const WORDS = {
  sse: ["Break SSE", "Mend SSE"],
  long_poll: ["Break long poll", "Mend long poll"],
  paused: ["Pause the others", "Let the others write"],
  share: ["Share one connection", "Connect each pane"],
};

const FAULTS = {
  sse: "SSE is broken: streams open and stay silent.",
  long_poll: "Long poll is broken: each one is answered 504.",
};

/** Where the switch `share` of this browser is kept: its tabs must agree. */
const SHARE = "rowcast-demo-share";

export class Switches {
  #state = { sse: false, long_poll: false, paused: false, share: false };
  #buttons = Object.fromEntries(
    [...document.querySelectorAll("[data-switch]")].map((button) => [button.dataset.switch, button]),
  );
  #fault = document.querySelector(".fault");

  /** `onChange` gets the state at each change, also those that others made. */
  constructor(onChange) {
    this.onChange = onChange;
    this.#state.share = kept("localStorage", SHARE, false);
    for (const [name, button] of Object.entries(this.#buttons)) button.onclick = () => this.#flip(name);
    addEventListener("storage", ({ key, newValue }) => key === SHARE && this.#take({ share: newValue === "true" }));
    document.addEventListener("visibilitychange", () => document.hidden || this.refresh());
  }

  get share() {
    return this.#state.share;
  }

  /** Asks the server how its switches stand. */
  async refresh() {
    try {
      const [faults, writer] = await Promise.all([look("faults"), look("writer")]);
      this.#take({ ...faults, ...writer });
    } catch (error) {
      this.#fault.textContent = error.message;
    }
  }

  async #flip(name) {
    const value = !this.#state[name];
    const { sse, long_poll } = { ...this.#state, [name]: value };
    try {
      if (name === "share") keep("localStorage", SHARE, value);
      else if (name === "paused") await set("writer", { paused: value });
      else await set("faults", { sse, long_poll });
      this.#take({ [name]: value });
    } catch (error) {
      this.#fault.textContent = error.message;
    }
  }

  #take(changes) {
    const state = { ...this.#state, ...changes };
    const isSame = Object.keys(state).every((name) => state[name] === this.#state[name]);
    this.#state = state;
    for (const [name, button] of Object.entries(this.#buttons)) {
      button.textContent = WORDS[name][Number(state[name])];
      button.classList.toggle("on", state[name]);
    }
    const faults = Object.keys(FAULTS).filter((name) => state[name]);
    this.#fault.textContent = faults.map((name) => FAULTS[name]).join(" ");
    if (!isSame) this.onChange(state);
  }
}
