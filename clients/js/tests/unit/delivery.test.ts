/** Every row once, in order, whatever happens on the way. */

import { expect, test } from "vitest";
import type { RowEvent, TransportName } from "../../src/index.js";
import { type Client, closeAfterEach, range, relayWith, start } from "./support/client.js";
import { pass, settle, stopTheClock, until } from "./support/clock.js";
import { forSeeds, type Random } from "./support/random.js";
import { type Fault, Relay, type Seen } from "./support/relay.js";

stopTheClock();
closeAfterEach();

/** What a user of the subscription shows: begun afresh at each reset. */
interface Picture {
  ids: (number | null)[];
}

/**
 * Subscribes and draws. With `last` the relay gives what is there; without, whoever is reset loads what stands before the
 * reset's cursor, as the README says.
 */
function draw(relay: Relay, options: { last: number } | { after: string }): { client: Client; picture: Picture } {
  const picture: Picture = { ids: [] };
  const client = start(
    {
      ...options,
      onEvent: ({ id }: RowEvent) => picture.ids.push(id),
      onReset: ({ cursor }) => {
        const place = cursor === undefined ? 0 : relay.place(cursor);
        picture.ids = relay.log.slice(0, place as number).map(({ id }) => id);
      },
    },
    relay,
  );
  return { client, picture };
}

/** Something that goes wrong, or nothing. `withCursor`: resets name a cursor to go on from. */
function trouble(random: Random, relay: Relay, seen: Seen, withCursor: boolean): Fault | undefined {
  const delay = random.chance(0.5) ? random.int(0, 3000) : 0;
  if (random.chance(0.4)) return { delay };
  const bytes = random.int(0, 600);
  const reset = { code: random.pick(["expired", "gone"]), cursor: relay.head };
  return random.pick<Fault>([
    { stall: true },
    { reject: true, delay },
    { status: random.pick([500, 502, 504]), body: "<h1>Bad gateway</h1>", delay },
    { status: 503, headers: { "retry-after": random.pick(["1", "9", "Sat, 21 Nov 2026 00:00:00 GMT"]) } },
    { headers: { "content-type": "text/html" }, body: seen.transport === "sse" ? "<p>Log in" : "{", delay },
    { cutAfter: bytes, cut: "close", delay },
    { cutAfter: bytes, cut: "error", delay },
    { silentAfter: bytes, delay },
    { status: random.pick([409, 410]), body: reset, delay },
    withCursor ? { delay: 9000 } : { status: 400, body: { code: "invalid_cursor" }, delay },
  ]);
}

/** Minutes of trouble, then a relay that is well again: what is shown then must be the table. */
async function ordeal(random: Random, options: { last: number } | { after: string }) {
  const relay = new Relay();
  relay.write(random.int(0, 30));
  relay.retry = random.pick([undefined, 500]);
  relay.chunks = (bytes) => {
    if (random.chance(0.5)) return [bytes];
    const at = random.int(0, bytes.length);
    return [bytes.subarray(0, at), bytes.subarray(at)];
  };
  relay.fault = (seen) => trouble(random, relay, seen, "after" in options);
  const { client, picture } = draw(relay, options);
  for (let step = random.int(5, 20); step > 0; step--) {
    await pass(random.pick([0, 1, 100, 3000, 40_000]));
    if (random.chance(0.7)) relay.write(random.int(1, 30));
    if (random.chance(0.1)) relay.truncate();
    if (random.chance(0.1)) relay.end("shutting_down");
  }
  relay.fault = () => undefined;
  const arrived = () => client.subscription.cursor === relay.head;
  await until(arrived, "all rows");
  relay.write(3);
  await until(arrived, "the last rows");
  await pass(60_000);
  expect(picture.ids).toEqual(relay.log.map(({ id }) => id));
  expect(relay.mostInFlight).toBe(1);
  client.subscription.close();
  await settle();
  expect(relay.inFlight).toBe(0);
  return relay.transports;
}

// Fails where a reset keeps the ids seen, and where a resumed stream is asked for without `last`: it is reset without rows.
test("each row comes once and in order through cuts, stalls, refusals and resets, with `last`", async () => {
  const used = new Set<TransportName>();
  await forSeeds(100, async (random) => {
    for (const name of await ordeal(random, { last: 1000 })) used.add(name);
  });
  if (!process.env.SEED) expect(used).toEqual(new Set(["sse", "long-poll", "poll"]));
});

test("each row comes once and in order through cuts, stalls, refusals and resets, from a cursor", async () => {
  await forSeeds(100, (random) => ordeal(random, { after: "1.0" }));
});

test("however long the trouble was, it ends on a stream", async () => {
  await forSeeds(20, async (random) => {
    const relay = new Relay();
    relay.fault = (seen) => trouble(random, relay, seen, true);
    const { subscription } = start({ after: "1.0" }, relay);
    await pass(random.int(0, 3_600_000));
    relay.fault = () => undefined;
    await pass(1_000_000);
    expect(subscription.status).toEqual({ state: "ready", transport: "sse" });
    subscription.close();
  });
});

test("a change of transport loses nothing and repeats nothing", async () => {
  let broken: TransportName[] = [];
  const fault = ({ transport }: Seen): Fault => (broken.includes(transport) ? { silentAfter: 0 } : {});
  const { relay, ids, subscription } = start({}, relayWith({ sse: fault, "long-poll": fault }));
  const arrived = (transport: TransportName) => () =>
    subscription.status.transport === transport && ids().length === relay.log.length;
  await settle();
  for (const next of ["sse", "long-poll", "poll"] as TransportName[]) {
    relay.write(5);
    await until(arrived(next), `rows by ${next}`);
    broken.push(next);
    // What is under way goes silent, too.
    for (const stream of relay.streams) stream.fault.silentAfter = 0;
  }
  broken = [];
  relay.write(5);
  await until(arrived("sse"), "a climb", 3_600_000);
  relay.write(5);
  await settle();
  expect(ids()).toEqual(range(1, 25));
});

/** Rows of a table with a journal as `last` lists them. */
const listed = (count: number): RowEvent[] =>
  range(1, count).map((key) => ({ op: "insert", id: null, room: "42", key: { key }, row: { key } }));

// Fails where they are handed over as they come: they have no id to tell a repeat by.
test("listed rows without an id are not repeated where the stream is cut off among them", async () => {
  const relay = new Relay();
  relay.listed = listed(10);
  relay.fault = () => (relay.requests.length < 4 ? { cutAfter: 150 * relay.requests.length } : undefined);
  const { events } = start({ last: 10, transports: ["sse"] }, relay);
  await until(() => events.length, "rows");
  await pass(10_000);
  relay.write();
  await pass(1000);
  expect(relay.requests.length).toBe(4);
  expect(relay.requests.map(({ last }) => last)).toEqual(["10", "10", "10", "10"]);
  expect(events.map(({ key, id }) => key?.key ?? id)).toEqual([...range(1, 10), 1]);
});

test("listed rows that were on their way when the place was reset are not handed over", async () => {
  const relay = new Relay();
  relay.listed = listed(3);
  // The listing is cut short by a reset: the relay tells the stream, and lists anew.
  relay.chunks = (bytes) => [bytes];
  const { events, resets } = start(
    {
      last: 3,
      transports: ["sse"],
      fetch: (async (_, init) => {
        const frame = (row: RowEvent) => `data: ${JSON.stringify(row)}\n\n`;
        const text = `${frame(listed(1)[0] as RowEvent)}event: reset\nid: 2.0\ndata: {"code":"truncated","cursor":"2.0"}\n\n${listed(2).map(frame).join("")}event: ready\nid: 2.0\ndata: {"cursor":"2.0"}\n\n`;
        const body = new ReadableStream({
          start(controller) {
            init?.signal?.addEventListener("abort", () => controller.error(init.signal?.reason));
            controller.enqueue(new TextEncoder().encode(text));
          },
        });
        return new Response(body, { headers: { "content-type": "text/event-stream" } });
      }) as typeof fetch,
    },
    relay,
  );
  await settle();
  expect(resets).toEqual([{ code: "truncated", cursor: undefined }]);
  expect(events.map(({ key }) => key?.key)).toEqual([1, 2]);
});

// Fails without the window: the relay may abridge a cursor, and then gives rows again.
test("a row that the relay gives again is dropped by its id, also when it comes another way", async () => {
  const relay = relayWith({ sse: { silentAfter: 0 } });
  relay.write(5);
  const { ids } = start({ after: "1.0" }, relay);
  await pass(6000);
  relay.write(1, [3]);
  relay.write(1, [6]);
  await settle();
  expect(ids()).toEqual(range(1, 6));
});

test("after a reset ids count anew", async () => {
  const { relay, ids, resets } = start({ last: 5 });
  relay.write(3);
  await settle();
  relay.truncate();
  relay.write(3);
  await settle();
  expect(resets).toEqual([{ code: "truncated", cursor: undefined }]);
  expect(ids()).toEqual([1, 2, 3, 1, 2, 3]);
});

// Two ids beyond 2^53 may be the same number although they differ.
test("ids beyond 2^53 are not told apart, so none of them is dropped", async () => {
  const { relay, ids } = start();
  await settle();
  relay.write(2, [2 ** 53, 2 ** 53]);
  relay.write(2, [2 ** 53 - 1, 2 ** 53 - 1]);
  await settle();
  expect(ids()).toEqual([2 ** 53, 2 ** 53, 2 ** 53 - 1]);
});

test("the window forgets: it holds 2,048 ids and no more", async () => {
  const { relay, ids } = start();
  await settle();
  relay.write(2049);
  await settle();
  relay.write(2, [2, 1]);
  await settle();
  expect(ids()).toEqual([...range(1, 2049), 1]);
});

test("a batch that the relay cuts at its limit is followed by the rest at once", async () => {
  const relay = new Relay();
  relay.write(2500);
  const { ids } = start({ after: "1.0", transports: ["poll"] }, relay);
  await settle();
  expect(ids()).toEqual(range(1, 2500));
  expect(relay.requests.map(({ after, at }) => [after, at])).toEqual([
    ["1.0", 0],
    ["1.1000", 0],
    ["1.2000", 0],
  ]);
});
