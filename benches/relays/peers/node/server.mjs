// The server that a competent user writes by hand: rows come by NOTIFY, go out as Server-Sent Events or as the answers of
// long polls. It is encoded once for all subscribers, resumes from the table, drops clients that don't read.
//
// PORT and DATABASE_URL say where.

import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import pg from "pg";

const HEARTBEAT_MS = 25_000;
const POLL_MS = 25_000;
// What may wait for a client that doesn't read, before it is cut off; it comes back with its Last-Event-ID.
const MOST_WAITING_BYTES = 1 << 20;
// Of one answer to a long poll, and of one query.
const PAGE = 500;

const AFTER = "select id, body from messages where room = $1 and id > $2 order by id limit $3";
const THESE = "select id, body from messages where id = any($1::bigint[])";

const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 10 });
const listener = new pg.Client({ connectionString: process.env.DATABASE_URL, keepAlive: true });

/** Of each room: its subscribers, the polls that wait, the newest id, and what waits to be written in this turn. */
const rooms = new Map();

function roomOf(name) {
  let room = rooms.get(name);
  if (room === undefined) {
    room = { streams: new Set(), polls: new Set(), newest: 0, frames: "", events: [] };
    rooms.set(name, room);
  }
  return room;
}

const frame = (event) => `id: ${event.id}\ndata: ${JSON.stringify(event.body)}\n\n`;

// All rows of one read of the socket come in one turn of the loop: they go to each subscriber in one write.
const touched = new Set();

function publish(name, event) {
  const room = roomOf(name);
  room.newest = Math.max(room.newest, event.id);
  room.frames += frame(event);
  room.events.push(event);
  if (touched.size === 0) setImmediate(flush);
  touched.add(room);
}

function flush() {
  for (const room of touched) {
    const { frames, events } = room;
    room.frames = "";
    room.events = [];
    for (const stream of room.streams) {
      if (stream.replaying) stream.replaying.push(...events);
      // Of what it has had from the table.
      else if (events[0].id <= stream.replayed) {
        write(stream, events.filter((event) => event.id > stream.replayed).map(frame).join(""));
      } else write(stream, frames);
    }
    if (room.polls.size > 0) {
      const polls = room.polls;
      room.polls = new Set();
      const answer = encode(events, room.newest);
      for (const poll of polls) {
        // One that is still asking the table answers by itself.
        if (poll.asking) poll.missed = true;
        else respond(poll, answer);
      }
    }
  }
  touched.clear();
}

function write(stream, text) {
  if (stream.response.writableLength > MOST_WAITING_BYTES) stream.response.destroy();
  else stream.response.write(text);
}

async function subscribe(request, response, name) {
  const room = roomOf(name);
  response.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-cache" });
  const stream = { response, replaying: null, replayed: 0 };
  room.streams.add(stream);
  response.on("close", () => room.streams.delete(stream));
  let last = Number(request.headers["last-event-id"] ?? Number.NaN);
  if (Number.isNaN(last)) {
    response.write(":\n\n");
    return;
  }
  stream.replaying = [];
  for (;;) {
    const { rows } = await pool.query({ name: "after", text: AFTER, values: [name, last, PAGE] });
    const events = rows.map((row) => ({ id: Number(row.id), body: row.body }));
    write(stream, events.map(frame).join("") || ":\n\n");
    last = events.at(-1)?.id ?? last;
    if (events.length < PAGE) break;
  }
  const meanwhile = stream.replaying.filter((event) => event.id > last);
  stream.replaying = null;
  stream.replayed = Math.max(last, ...meanwhile.map((event) => event.id));
  if (meanwhile.length > 0) write(stream, meanwhile.map(frame).join(""));
}

const encode = (events, cursor) => ({
  body: JSON.stringify(events),
  headers: { "Content-Type": "application/json", "Cache-Control": "no-store", "X-Cursor": String(cursor) },
});

function respond(poll, { body, headers }) {
  clearTimeout(poll.timer);
  poll.response.writeHead(200, headers);
  poll.response.end(body);
}

async function poll(response, name, after) {
  const room = roomOf(name);
  const waiting = { response, asking: false, missed: false, timer: null };
  // What it has is the newest: no need to ask the table.
  if (after !== null && (room.newest === 0 || after < room.newest)) {
    waiting.asking = true;
    do {
      waiting.missed = false;
      room.polls.add(waiting);
      const { rows } = await pool.query({ name: "after", text: AFTER, values: [name, after, PAGE] });
      if (rows.length > 0) {
        room.polls.delete(waiting);
        const events = rows.map((row) => ({ id: Number(row.id), body: row.body }));
        respond(waiting, encode(events, events.at(-1).id));
        return;
      }
    } while (waiting.missed);
    waiting.asking = false;
  }
  room.polls.add(waiting);
  waiting.timer = setTimeout(() => {
    room.polls.delete(waiting);
    response.writeHead(204, after === null ? {} : { "X-Cursor": String(after) });
    response.end();
  }, POLL_MS);
  response.on("close", () => {
    clearTimeout(waiting.timer);
    room.polls.delete(waiting);
  });
}

function answer(request, response) {
  const url = new URL(request.url, "http://localhost");
  const [, kind, name] = url.pathname.split("/");
  const failed = () => response.destroy();
  if (kind === "sse") subscribe(request, response, name).catch(failed);
  else if (kind === "poll") {
    const after = url.searchParams.get("after");
    poll(response, name, after === null ? null : Number(after)).catch(failed);
  } else response.writeHead(404).end();
}

// Rows that were too long for a payload are fetched; those behind them wait, so that the order stays.
const unpublished = [];

listener.on("notification", ({ payload }) => {
  const { id, room, body } = JSON.parse(payload);
  if (body !== undefined && unpublished.length === 0) publish(room, { id, body });
  else if (unpublished.push({ id, room, body }) === 1) fetch().catch(() => process.exit(1));
});

async function fetch() {
  while (unpublished.length > 0) {
    const lacking = unpublished.filter((row) => row.body === undefined).map((row) => row.id);
    const bodies = new Map();
    if (lacking.length > 0) {
      const { rows } = await pool.query({ name: "these", text: THESE, values: [lacking] });
      for (const row of rows) bodies.set(Number(row.id), row.body);
    }
    while (unpublished.length > 0) {
      const { id, room, body = bodies.get(id) } = unpublished[0];
      // It has come since the query.
      if (body === undefined && !lacking.includes(id)) break;
      unpublished.shift();
      if (body !== undefined) publish(room, { id, body });
    }
  }
}

// Its supervisor starts it again, clients resume.
listener.on("error", () => process.exit(1));
pool.on("error", () => {});

setInterval(() => {
  for (const room of rooms.values()) for (const stream of room.streams) write(stream, ":\n\n");
}, HEARTBEAT_MS);

await listener.connect();
await listener.query(readFileSync(new URL("trigger.sql", import.meta.url), "utf8"));
await listener.query("listen messages");
const server = createServer(answer);
server.keepAliveTimeout = 75_000;
server.listen({ host: "127.0.0.1", port: Number(process.env.PORT), backlog: 4096 });
