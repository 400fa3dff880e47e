/** Shows an overview, as the relay sends it: texts only, for names of rooms are users' own. */

import { element, Rows, say, tableRows } from "./rows.js";
import { bytes, count, moment, rate, span, wholeSpan } from "./words.js";

const of = (name) => document.querySelector(`[data-of="${name}"]`);

const WORDS = { ready: "Ready", not_ready: "Not ready" };
const MODES = { armed: "armed", polling: "polling", arming: "arming", poll_only: "poll only" };
const TRANSPORTS = { sse: "SSE", ndjson: "NDJSON", long_poll: "Long poll", poll: "Poll" };
const POOLS = { main: "Sessions for reading", publish: "Sessions for publishing", authorize: "Sessions for access" };

/** A list whose items are texts. */
const texts = (list) =>
  new Rows(list, { key: (text) => text, make: (text) => element("li", "", text), update: () => {} });

/** Terms with a figure each: `[term, figure]`, and whether it is one to look at. */
const facts = (list) =>
  new Rows(list, {
    key: ([term]) => term,
    make: ([term]) => {
      const fact = element("div");
      fact.append(element("dt", "", term), element("dd"));
      return fact;
    },
    update: (fact, [, figure, isBad = false]) => {
      say(fact.lastElementChild, figure);
      fact.classList.toggle("bad", isBad);
    },
  });

const reasons = texts(document.querySelector(".reasons"));
const notes = texts(document.querySelector(".notes"));
const clients = facts(of("clients"));
const database = facts(of("database"));

/** Whether a source is called as its table. */
const isPlain = (name, relation) => [null, name, `public.${name}`].includes(relation);

const sources = document.querySelector(".sources");
const sourceRows = tableRows(sources, {
  key: ({ name }) => name,
  mark: (row, { trouble }) => row.classList.toggle("bad", trouble != null),
  columns: [
    { name: "Source", of: ({ name, relation }) => (isPlain(name, relation) ? name : `${name} (${relation})`) },
    { name: "State", className: "says", of: ({ trouble }) => trouble ?? "followed" },
    { name: "Mode", className: "mode", of: ({ mode, trouble }) => (trouble ? "–" : (MODES[mode] ?? mode)) },
    { name: "Lag", className: "number", of: ({ lag_seconds }) => span(lag_seconds) },
    { name: "Rows/s", className: "number", of: ({ rows_per_second }) => rate(rows_per_second) },
    { name: "Deliveries/s", className: "number", of: ({ deliveries_per_second }) => rate(deliveries_per_second) },
    { name: "Open gaps", className: "number", of: ({ gaps }) => count(gaps) },
    { name: "Oldest", className: "number", of: ({ oldest_gap_seconds }) => span(oldest_gap_seconds) },
    { name: "Rooms", className: "number", of: ({ rooms }) => count(rooms) },
    { name: "In memory", className: "number", of: ({ ring_bytes }) => bytes(ring_bytes) },
  ],
});

const rooms = document.querySelector(".rooms");
const roomRows = tableRows(rooms, {
  key: ({ source, room }) => JSON.stringify([source, room]),
  // A room may be called so.
  mark: (row, { room }) => row.classList.toggle("all", room === null),
  columns: [
    { name: "Room", className: "name", of: ({ room }) => room ?? "all rooms" },
    { name: "Source", of: ({ source }) => source },
    { name: "Subscribers", className: "number", of: ({ subscribers }) => count(subscribers) },
    { name: "Events/s", className: "number", of: ({ events_per_second }) => rate(events_per_second) },
    { name: "In memory", className: "number", of: ({ ring_bytes }) => bytes(ring_bytes) },
  ],
});

const errors = new Rows(document.querySelector(".errors"), {
  key: ({ number }) => number,
  make: ({ level, target, source, message, details }) => {
    const line = element("li");
    const head = element("p", "head");
    const about = source ? `source ${source}` : target;
    head.append(element("time"), element("b", level.toLowerCase(), level), element("span", "", about));
    head.append(element("span", "times"));
    line.append(head, element("p", "text", message));
    if (details) line.append(element("p", "details", details));
    return line;
  },
  update: (line, { first, last, count: times }) => {
    const when = line.querySelector("time");
    when.dateTime = new Date(last).toISOString();
    say(when, moment(last));
    say(line.querySelector(".times"), times > 1 ? `${count(times)} times since ${moment(first)}` : "");
  },
});

/** What the relay's state is called. */
export const status = () => of("word").textContent;

/** Shows all of it. */
export function show(overview) {
  const { connections } = overview;
  say(of("relay"), `${overview.version}, up ${wholeSpan(overview.uptime_seconds)}`);
  const word = of("word");
  say(word, WORDS[overview.status] ?? overview.status);
  word.dataset.status = overview.status;
  reasons.show(overview.reasons);
  notes.show(overview.notes);
  clients.show(ofClients(connections));
  database.show(ofDatabase(overview.database));
  sourceRows.show(overview.sources);
  sources.hidden = overview.sources.length === 0;
  of("no-sources").hidden = !sources.hidden;
  roomRows.show(overview.rooms);
  rooms.classList.toggle("of-one-source", overview.sources.length === 1);
  rooms.hidden = overview.rooms.length === 0;
  say(of("rooms-shown"), howMany(overview.rooms.length, overview.rooms_held));
  errors.show(overview.errors);
  of("no-errors").hidden = overview.errors.length > 0;
}

function ofClients({ open, most, subscribers }) {
  const isFull = most != null && open >= 0.9 * most;
  const connections = most == null ? count(open) : `${count(open)} of ${count(most)}`;
  return [
    ["Connections", connections, isFull],
    ...subscribers.map(({ transport, open: held }) => [TRANSPORTS[transport] ?? transport, count(held)]),
  ];
}

function ofDatabase({ pools, notify_round_trip_seconds_ago: ago, notification_queue_usage: usage }) {
  const percent = usage == null ? "–" : `${(100 * usage).toFixed(usage < 0.1 && usage > 0 ? 1 : 0)} % full`;
  return [
    ["Last bell heard", ago == null ? "none is heard" : `${wholeSpan(ago)} ago`, ago == null || ago > 60],
    ["Notification queue", percent, usage > 0.5],
    ...pools.map(({ name, in_use, most, waiting }) => {
      const waits = waiting > 0 ? `, ${count(waiting)} waiting` : "";
      return [POOLS[name] ?? name, `${count(in_use)} of ${count(most)} in use${waits}`, waiting > 0];
    }),
  ];
}

/** Which rooms are shown, of how many. */
function howMany(shown, held) {
  if (held === 0) return "Nobody is in any room.";
  if (shown === held) return held === 1 ? "One room." : `${count(held)} rooms, the busiest first.`;
  return `The ${count(shown)} busiest of ${count(held)} rooms; ${count(held - shown)} are not shown.`;
}
