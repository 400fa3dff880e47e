/** The page: two people, each with a name, a room and a subscription of their own, and switches for the server. */

import { keep, kept } from "./keep.js";
import { Pane } from "./pane.js";
import { Switches } from "./switches.js";

const ROOMS = ["lobby", "kitchen", "workshop"];
const PEOPLE = ["Ada", "Grace"];

/** Where a reload finds names and rooms again. */
const KEPT = "rowcast-demo-panes";

const main = document.querySelector("main");
const people = document.querySelector(".people");

const before = kept("sessionStorage", KEPT, []);
const panes = PEOPLE.map((name, at) => new Pane({ rooms: ROOMS, room: ROOMS[0], name, ...before[at] }));

// A narrow window shows one of the panes.
const buttons = panes.map((_, at) => {
  const button = document.createElement("button");
  button.type = "button";
  button.onclick = () => show(at);
  return button;
});

function show(shown) {
  for (const [at, pane] of panes.entries()) {
    pane.element.classList.toggle("shown", at === shown);
    buttons[at].setAttribute("aria-pressed", at === shown);
  }
  panes[shown].reveal();
}

function label() {
  buttons.forEach((button, at) => {
    button.textContent = panes[at].name;
  });
}

const switches = new Switches((state) => {
  for (const pane of panes) pane.take(state);
});

for (const pane of panes) {
  pane.onChange = () => {
    keep(
      "sessionStorage",
      KEPT,
      panes.map(({ name, room }) => ({ name, room })),
    );
    label();
  };
  // Another tab may have switched something: a transport that changes is the sign of it.
  pane.onTransport = () => switches.refresh();
}

people.append(...buttons);
main.append(...panes.map((pane) => pane.element));
label();
show(0);
switches.refresh();
for (const pane of panes) pane.start(switches.share);
