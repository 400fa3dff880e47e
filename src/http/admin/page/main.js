/** The page: an overview of the relay, as it sends one each second. */

import { say } from "./rows.js";
import { show, status } from "./show.js";
import { moment } from "./words.js";

/** Silence after which the relay, or the way to it, counts as gone. It sends every second. In milliseconds. */
const SILENCE = 5000;

const WORDS = {
  connecting: "Connecting",
  live: "Live",
  paused: "Paused",
  ended: "Reconnecting",
  away: "Reconnecting",
};

const main = document.querySelector("main");
const connection = document.querySelector('[data-of="connection"]');
const stale = document.querySelector('[data-of="stale"]');
const pause = document.querySelector(".pause");

let events;
/** When something was last heard, or the last try began. */
let heard = 0;
/** The newest overview, and when it came. */
let newest;
/** When the one that is shown came. */
let shown;
let paused = false;
let state = "connecting";

function tell(now) {
  state = now;
  const word = paused && state === "live" ? "paused" : state;
  connection.dataset.state = word;
  say(connection, WORDS[word]);
  const isOld = shown !== undefined && word !== "live";
  stale.hidden = !isOld;
  main.classList.toggle("old", isOld);
  document.title = `${word === "live" ? status() : WORDS[word]} – Rowcast`;
  if (isOld) say(stale, `What stands here is of ${moment(shown)}.${state === "ended" ? " The relay has ended." : ""}`);
}

function showNewest() {
  if (!newest || paused) return;
  show(newest.overview);
  shown = newest.at;
  main.setAttribute("aria-busy", "false");
}

function open() {
  events?.close();
  heard = Date.now();
  events = new EventSource("/admin/events");
  events.addEventListener("overview", ({ data }) => {
    heard = Date.now();
    newest = { overview: JSON.parse(data), at: heard };
    showNewest();
    tell("live");
  });
  events.addEventListener("end", () => tell("ended"));
  // The browser tries again by itself; where it gives up (an answer that is no stream), `watch` does.
  events.addEventListener("error", () => {
    if (state === "live") tell("away");
  });
}

function watch() {
  if (document.hidden || Date.now() - heard < SILENCE) return;
  if (state === "live") tell("away");
  open();
}

pause.onclick = () => {
  paused = !paused;
  say(pause, paused ? "Go on" : "Pause");
  showNewest();
  tell(state);
};

// Nobody looks: the relay need not count.
document.onvisibilitychange = () => {
  if (document.hidden) events.close();
  else open();
};

open();
setInterval(watch, 1000);
