/** The client over each of its transports, forced by an option or by what breaks, and up and down between them. */

import type { TransportName } from "../../src/types.js";
import { EVENTS } from "./support/database.js";
import { expect, test } from "./support/fixtures.js";
import { Follower, IMPATIENT, QUICK } from "./support/follower.js";
import type { Fault } from "./support/gate.js";

const TRANSPORTS: TransportName[] = ["sse", "long-poll", "poll"];

for (const transport of TRANSPORTS) {
  test(`over ${transport} alone: the newest rows, then what comes, once and in order`, async ({
    page,
    database,
    gate,
  }) => {
    for (let n = 1; n <= 8; n++) await database.insert(n);

    const follower = await Follower.open(page, gate.url, { ...QUICK, transports: [transport], last: 5 });
    await follower.ready(transport);
    for (let n = 9; n <= 20; n++) await database.insert(n);

    await follower.hasExactly([4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20]);
    const others = TRANSPORTS.filter((it) => it !== transport && (it !== "poll" || transport !== "long-poll"));
    for (const other of others) expect(gate.of(other), `requests by ${other}`).toEqual([]);
    const [first, ...later] = gate.passages;
    expect(first?.query.get("last")).toBe("5");
    expect(later.map(({ query }) => query.has("after")).filter((resumes) => !resumes)).toEqual([]);
    expect(gate.of(transport)).not.toEqual([]);
  });

  test(`over ${transport}: the relay is killed and comes back, and nothing is lost or repeated`, async ({
    page,
    gate,
    relay,
    startWriter,
  }) => {
    const follower = await Follower.open(page, gate.url, { ...QUICK, transports: [transport] });
    await follower.ready();
    const writer = startWriter();
    await follower.arrivesOver(transport, 0);

    await relay.kill();
    const before = writer.written.length;
    await expect.poll(() => writer.written.length).toBeGreaterThan(before + 20);
    await relay.start();
    await follower.arrivesOver(transport, before);

    await follower.hasExactly(await writer.stop());
  });

  test(`over ${transport}: TRUNCATE is a reset, and what follows arrives`, async ({ page, database, gate }) => {
    const follower = await Follower.open(page, gate.url, { ...QUICK, transports: [transport] });
    await follower.ready();
    await database.insert(1);
    await follower.hasExactly([1]);

    await database.query("truncate messages");
    await expect.poll(() => follower.resets()).toHaveLength(1);
    const [reset] = await follower.resets();
    // Between two polls nobody follows: there it is a new epoch.
    expect(reset?.code).toMatch(transport === "sse" ? /^truncated$/ : /^truncated$|^epoch$/);
    await database.insert(2);

    await follower.hasExactly([1, 2]);
    expect(await follower.resets()).toHaveLength(1);
  });
}

/** Gives hanging streams up soon, and stays where it is then. */
const SETTLED = { ...IMPATIENT, climbAfter: 60_000 };

/** Ways in which a proxy is no good for streams. */
const STREAMS_BROKEN: [words: string, fault: Fault][] = [
  ["are held back", "swallow"],
  ["are refused", 502],
];

for (const [words, fault] of STREAMS_BROKEN) {
  test(`where streams ${words} from the start, it follows by long poll`, async ({ page, database, gate }) => {
    gate.faults.sse = fault;
    const follower = await Follower.open(page, gate.url, SETTLED);
    await follower.ready("long-poll");
    await database.insert(1);

    await follower.hasExactly([1]);
  });

  test(`where streams ${words} and long polls are refused from the start, it polls`, async ({
    page,
    database,
    gate,
  }) => {
    gate.faults.sse = fault;
    gate.faults["long-poll"] = 504;
    const follower = await Follower.open(page, gate.url, SETTLED);
    await follower.ready("poll");
    await database.insert(1);

    await follower.hasExactly([1]);
  });

  test(`where streams ${words}, then long polls are refused, then both are mended: down, up, each row once`, async ({
    page,
    gate,
    startWriter,
  }) => {
    const follower = await Follower.open(page, gate.url, IMPATIENT);
    await follower.ready("sse");
    const writer = startWriter();
    const arrived = async () => (await follower.arrivals()).length;
    await follower.arrivesOver("sse", 0);

    gate.breaks("sse", fault);
    await follower.arrivesOver("long-poll", await arrived());
    gate.breaks("long-poll", 504);
    await follower.arrivesOver("poll", await arrived());
    gate.breaks("long-poll", "pass");
    await follower.arrivesOver("long-poll", await arrived());
    gate.breaks("sse", "pass");
    await follower.arrivesOver("sse", await arrived());

    await follower.hasExactly(await writer.stop());
  });
}

test("a stream that is cut again and again loses and repeats nothing", async ({ page, gate, startWriter }) => {
  const follower = await Follower.open(page, gate.url, { ...QUICK, transports: ["sse"] });
  await follower.ready();
  const writer = startWriter();
  for (let cuts = 1; cuts <= 5; cuts++) {
    await follower.arrivesOver("sse", (await follower.arrivals()).length);
    gate.cut("sse");
    await expect.poll(() => gate.of("sse").length).toBeGreaterThan(cuts);
  }

  await follower.hasExactly(await writer.stop());
});

test("a quiet stream stays, although heartbeats are rarer than what opening may take", async ({ page, gate }) => {
  await Follower.open(page, gate.url, { ...QUICK, openTimeout: 900 });

  await expect.poll(() => Math.max(...gate.of("sse").map((stream) => stream.heartbeats))).toBeGreaterThan(1);
});

test("a stream that hangs is left for another after the time of silence", async ({ page, gate, database }) => {
  const follower = await Follower.open(page, gate.url, { ...QUICK, transports: ["sse"], silenceTimeout: 3000 });
  await follower.ready("sse");
  await database.insert(1);
  await follower.hasExactly([1]);

  gate.freeze("sse");
  await database.insert(2);

  await follower.hasExactly([1, 2]);
  expect(gate.of("sse").length).toBeGreaterThan(1);
});

test("breaking out of an iteration closes its connection", async ({ page, database, gate }) => {
  await page.goto(`${gate.url}/health/live`);
  const first = page.evaluate(
    async ({ script, path, options }) => {
      const { subscribe } = await import(script);
      for await (const event of subscribe(path, options)) return event.row.n;
    },
    { script: "/rowcast.js", path: EVENTS, options: QUICK },
  );
  await expect.poll(() => gate.open("sse")).toBe(1);
  // It is open at the gate before the relay has it: a row from before that would be nobody's.
  await expect.poll(() => gate.of("sse")[0]?.status).toBe(200);
  await database.insert(1);

  expect(await first).toBe(1);
  await expect.poll(() => gate.open("sse")).toBe(0);
  expect(gate.of("sse")).toHaveLength(1);
});
