// The application behind Pushpin: it answers a subscriber's request with what it missed and the GRIP headers that hold the
// request open (pushpin.org/docs/usage, "HTTP streaming", "HTTP long-polling"). Of a poll it is asked again if Pushpin finds
// by the ids of items that one came meanwhile (prev-id). For streams the manual has that, too (docs/advanced, "Reliability":
// prev-id with Grip-Link and Grip-Last); it isn't used here: with 100 subscribers it was clean at 50 rows a second, but at 500
// rows came some thirty times, after seconds. A stream's gap is therefore not recovered until its client comes back.
//
// PORT and DATABASE_URL say where. An event's id is the number in a row's body, which the publisher knows, too.

import { createServer } from "node:http";
import pg from "pg";

const POLL_SECONDS = 25;
// A response that is held may have 100,000 bytes (the same page); of a stream it may have any length. For what is more than a
// page, Pushpin asks again by itself (Grip-Link), and has cut streams off when hundreds of them had to.
const PAGE = 200;
// Before a room's first row, which has the number 1.
const NONE = "000000000000";

const INDEX = "create index if not exists messages_number on messages (room, substr(body, 6, 12))";
const AFTER =
  "select substr(body, 6, 12) as number, body from messages where room = $1 and substr(body, 6, 12) > $2 " +
  "order by substr(body, 6, 12) limit $3";
const NEWEST = "select max(substr(body, 6, 12)) as number from messages where room = $1";

const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 10 });
pool.on("error", () => {});

const after = async (room, number) =>
  (await pool.query({ name: "after", text: AFTER, values: [room, number, PAGE] })).rows;
const newest = async (room) =>
  (await pool.query({ name: "newest", text: NEWEST, values: [room] })).rows[0].number ?? NONE;

async function stream(request, response, room, url) {
  const had = url.searchParams.get("after") ?? request.headers["last-event-id"];
  const rows = had === undefined ? [] : await after(room, had);
  const head = { "Content-Type": "text/event-stream" };
  if (rows.length === PAGE) head["Grip-Link"] = `</sse/${room}?after=${rows.at(-1).number}>; rel=next`;
  else {
    head["Grip-Hold"] = "stream";
    head["Grip-Channel"] = room;
    head["Grip-Keep-Alive"] = ":\\n\\n; format=cstring; timeout=25";
  }
  response.writeHead(200, head);
  response.end(rows.map(({ number, body }) => `id: ${number}\ndata: ${body}\n\n`).join("") || ":\n\n");
}

async function poll(response, room, url) {
  const had = url.searchParams.get("after");
  const rows = had === null ? [] : await after(room, had);
  if (rows.length > 0) {
    response.writeHead(200, { "Content-Type": "application/json", "X-Cursor": rows.at(-1).number });
    response.end(JSON.stringify(rows.map(({ body }) => body)));
    return;
  }
  const last = had ?? (await newest(room));
  response.writeHead(200, {
    "Content-Type": "application/json",
    "X-Cursor": last,
    "Grip-Hold": "response",
    "Grip-Channel": `${room}; prev-id=${last}`,
    "Grip-Timeout": String(POLL_SECONDS),
  });
  response.end("[]");
}

await pool.query(INDEX);
const server = createServer((request, response) => {
  const url = new URL(request.url, "http://localhost");
  const [, kind, room] = url.pathname.split("/");
  const answered = kind === "sse" ? stream(request, response, room, url) : poll(response, room, url);
  answered.catch(() => response.destroy());
});
// Zurl keeps connections for the next request: longer than the five seconds that Node does by default.
server.keepAliveTimeout = 120_000;
server.listen({ host: "127.0.0.1", port: Number(process.env.PORT), backlog: 4096 });
