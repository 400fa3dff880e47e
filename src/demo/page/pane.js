/** One person in one room: a subscription, how it is doing, and what the person does. */

import { subscribe } from "/rowcast.js";
import { inWords, now, parseTime, Strip } from "./latency.js";
import { Message } from "./message.js";
import { edit, remove, roomUrl, send } from "./room.js";
import { Timeline } from "./timeline.js";

/** Messages of the history. */
const HISTORY = 30;

/** Short times, so that one can watch: the client's own are longer. */
const TIMES = { openTimeout: 2000, climbAfter: 5000, pollInterval: 2000, wait: 5 };

const TRANSPORTS = { sse: "SSE", "long-poll": "long poll", poll: "poll" };
const FOLLOWING = {
  sse: "Live: the relay pushes each change.",
  "long-poll": "Live: a request waits for the next change.",
  poll: "Not quite live: asking every few seconds.",
};

const WAITING = "committed, waiting for its event …";

/** Farther apart than this, in ms, the clocks of page and database are not one: no latency can be told. */
const CLOCKS_DIFFER = -20;

const template = document.getElementById("pane");

export class Pane {
  onChange = () => {};
  onTransport = () => {};
  #parts;
  #strip;
  #share = false;
  #subscription;
  #transport;
  #timeline;
  /** Messages on their way, by nonce: shown at once, until their event comes. */
  #outbox = new Map();

  constructor({ name, room, rooms }) {
    this.element = template.content.firstElementChild.cloneNode(true);
    const part = (selector) => this.element.querySelector(selector);
    this.#parts = {
      name: part(".name"),
      room: part(".room"),
      ladder: [...this.element.querySelectorAll(".ladder li")],
      status: part(".status"),
      again: part(".again"),
      note: part(".note"),
      aloud: part(".aloud"),
      log: part(".scroll"),
      composer: part(".composer"),
      curl: part(".curl code"),
    };
    this.#strip = new Strip(part(".latency"));
    this.#timeline = new Timeline({
      scroll: this.#parts.log,
      jump: part(".jump"),
      refuge: part(".composer .text"),
      draw: (row, event) => this.#draw(row, event),
    });
    this.#parts.name.value = name;
    this.#parts.room.append(...rooms.map((room) => new Option(room)));
    this.#parts.room.value = rooms.includes(room) ? room : rooms[0];
    this.#listen();
    this.#label();
  }

  get name() {
    return this.#parts.name.value.trim() || "somebody";
  }

  get room() {
    return this.#parts.room.value;
  }

  /** It has come into view, in a window that shows one pane at a time. */
  reveal() {
    this.#timeline.scrollToEnd();
  }

  start(share) {
    this.#share = share;
    this.#enter();
  }

  /** The switches stand otherwise. */
  take({ sse, long_poll, share }) {
    const broken = { sse, "long-poll": long_poll };
    for (const rung of this.#parts.ladder) rung.classList.toggle("broken", !!broken[rung.dataset.transport]);
    if (share === this.#share) return;
    this.#share = share;
    if (this.#subscription) this.#follow(this.#subscription.cursor);
  }

  #listen() {
    const { name, room, again, composer } = this.#parts;
    name.onchange = () => {
      this.#label();
      this.#timeline.redraw();
      this.onChange();
    };
    room.onchange = () => {
      this.#enter();
      this.onChange();
    };
    again.onclick = () => {
      this.#follow(this.#subscription.cursor);
      composer.elements[0].focus();
    };
    composer.onsubmit = (event) => {
      event.preventDefault();
      const [field] = composer.elements;
      const body = field.value.trim();
      field.value = "";
      if (body) this.#compose(body);
    };
    composer.onkeydown = (event) => {
      if (event.key === "ArrowUp" && !composer.elements[0].value) this.#editLast(event);
    };
  }

  #label() {
    const [field] = this.#parts.composer.elements;
    this.element.setAttribute("aria-label", this.name);
    this.#parts.log.setAttribute("aria-label", `Messages, as ${this.name} sees them`);
    field.setAttribute("aria-label", `Message from ${this.name}`);
    field.placeholder = `Write as ${this.name}`;
  }

  /** Enters the room that is chosen: its history, then what comes. */
  #enter() {
    for (const nonce of this.#outbox.keys()) this.#discard(nonce);
    this.#timeline.clear();
    this.#strip.clear();
    this.#say("");
    this.#parts.curl.textContent = `curl -N -H 'Accept: text/event-stream' '${roomUrl(this.room)}?last=5'`;
    this.#follow();
  }

  /** Subscribes, from the cursor where there is one, else to the history first. */
  #follow(after) {
    const before = this.#subscription;
    this.#subscription = undefined;
    before?.close();
    this.#parts.log.setAttribute("aria-busy", "true");
    this.#subscription = subscribe(roomUrl(this.room), {
      ...TIMES,
      last: HISTORY,
      share: this.#share,
      ...(after && { after }),
      onEvent: (event) => this.#onEvent(event),
      onReset: ({ code }) => this.#onReset(code),
    });
    const current = this.#subscription;
    current.onStatus = (status) => current === this.#subscription && this.#onStatus(status);
  }

  #onReset(code) {
    // What was committed comes with the history, or is gone.
    for (const [nonce, { id }] of this.#outbox) if (id) this.#discard(nonce);
    this.#timeline.clear();
    this.#say(`The relay can't go on from where we were (${code}): the list begins anew.`);
  }

  #onStatus({ state, transport, retryInMs, error, leader }) {
    const { status, again, ladder, log } = this.#parts;
    const reason = error?.message ? ` (${error.message.replace(/\.$/, "")})` : "";
    const seconds = ((retryInMs ?? 0) / 1000).toFixed(1);
    const shared = { true: " Others listen in.", false: " By another pane or tab." }[leader] ?? "";
    status.textContent = {
      connecting: `Trying ${TRANSPORTS[transport]} …`,
      ready: FOLLOWING[transport] + shared,
      waiting: `Trying again in ${seconds} s${reason}.`,
      closed: `Closed${reason}.`,
    }[state];
    this.element.dataset.state = state;
    for (const rung of ladder) {
      if (rung.dataset.transport === transport) rung.setAttribute("aria-current", "true");
      else rung.removeAttribute("aria-current");
    }
    again.textContent = state === "closed" ? "Try again" : "Try SSE now";
    again.hidden = state !== "closed" && (transport === "sse" || leader === false);
    if (state === "ready") log.setAttribute("aria-busy", "false");
    // Each try is shown; what comes of it is said, too.
    if (state === "closed" || (state === "ready" && transport !== this.#transport)) this.#sayAloud(status.textContent);
    if (state === "ready" && transport !== this.#transport) {
      this.#transport = transport;
      this.onTransport();
    }
  }

  #onEvent(event) {
    const { id } = event.key;
    const sent = this.#outbox.get(event.row?.nonce);
    if (sent) this.#outbox.delete(event.row.nonce);
    // Deleted before it was delivered.
    if (event.op === "delete")
      for (const [nonce, { id: committed }] of this.#outbox) if (committed === id) this.#discard(nonce);
    const message = sent?.message ?? this.#timeline.get(id);
    if (message) message.change = undefined;
    this.#timeline.apply(event, sent?.message);
  }

  /** Shows a row in its message; where an event brought it, with how long that took. */
  #draw(row, event) {
    const message = this.#timeline.get(row.id);
    if (!message) return;
    // Rows of the history stand as they are: nobody waited for them.
    if (event && event.id !== null) message.arrival = this.#measure(event);
    const { change, arrival } = message;
    const own = row.author === this.name;
    message.show({
      row: { ...row, body: change?.body ?? row.body },
      own,
      state: change?.state ?? "committed",
      meta: change?.words ?? [row.edited_at && "edited", arrival].filter(Boolean).join(" · "),
      actions: change?.actions ?? (own ? { Edit: () => this.#edit(row), Delete: () => this.#remove(row) } : {}),
    });
  }

  /** How long ago the change was committed, in words; undefined where the clocks don't allow to tell. */
  #measure({ op, row }) {
    const since = now() - parseTime((op === "update" && row.edited_at) || row.created_at);
    if (since < CLOCKS_DIFFER) return undefined;
    const { transport } = this.#subscription.status;
    this.#strip.add(since, transport);
    return `${inWords(since)} by ${TRANSPORTS[transport]}`;
  }

  #compose(body) {
    const nonce = crypto.randomUUID?.() ?? `${performance.timeOrigin}-${Math.random()}`;
    const sent = { message: new Message(), row: { author: this.name, body, nonce }, id: undefined };
    this.#outbox.set(nonce, sent);
    this.#say("");
    this.#post(sent);
    this.#timeline.append(sent.message);
  }

  /** Sends it, for the first time or again. Its event may come before the answer does. */
  async #post({ message, row }) {
    const { nonce } = row;
    const show = (state, meta, actions = {}) => {
      if (this.#outbox.has(nonce)) message.show({ row, own: true, state, meta, actions });
    };
    show("waiting", "sending …");
    try {
      const id = await send(this.room, row);
      const sent = this.#outbox.get(nonce);
      if (sent) sent.id = id;
      show("waiting", WAITING);
    } catch (error) {
      this.#sayAloud(`Not sent. ${error.message}`);
      show("failed", `Not sent. ${error.message}`, {
        "Try again": () => this.#post({ message, row }),
        Discard: () => this.#discard(nonce),
      });
    }
  }

  #discard(nonce) {
    const sent = this.#outbox.get(nonce);
    this.#outbox.delete(nonce);
    if (sent) this.#timeline.discard(sent.message);
  }

  async #edit(row) {
    const message = this.#timeline.get(row.id);
    const body = await message?.edit(message.change?.body ?? row.body);
    if (body) this.#change(row, "saving …", body, () => edit(row.id, body));
  }

  #remove(row) {
    this.#change(row, "deleting …", row.body, () => remove(row.id));
  }

  /** Shows a change at once, and waits for the event that says the same: it may come before the answer does. */
  async #change(row, words, body, act) {
    const message = this.#timeline.get(row.id);
    if (!message) return;
    const set = (change) => {
      message.change = change;
      this.#draw(row);
    };
    const own = { body, state: "waiting", words, actions: {} };
    set(own);
    try {
      await act();
      if (message.change === own) set({ ...own, words: WAITING });
    } catch (error) {
      if (message.change !== own) return;
      const actions = { "Try again": () => this.#change(row, words, body, act), "Leave it": () => set(undefined) };
      set({ body, state: "failed", words: `Not changed. ${error.message}`, actions });
      this.#sayAloud(`Not changed. ${error.message}`);
    }
  }

  /** As in other chats: the up arrow in an empty composer edits one's last message. */
  #editLast(event) {
    const last = this.#timeline.rows.findLast(({ author }) => author === this.name);
    if (!last) return;
    event.preventDefault();
    this.#edit(last);
  }

  #say(text) {
    const { note } = this.#parts;
    note.textContent = text;
    note.hidden = !text;
    this.#sayAloud(text);
  }

  /** For those who don't see it. */
  #sayAloud(text) {
    this.#parts.aloud.textContent = text;
  }
}
