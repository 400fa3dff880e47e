/** How a subscription falls from one transport to the next, and climbs back. */

import { expect, test, vi } from "vitest";
import { closeAfterEach, relayWith, start } from "./support/client.js";
import { now, pass, settle, stopTheClock, until } from "./support/clock.js";
import { Relay } from "./support/relay.js";

stopTheClock();
closeAfterEach();

const BROKEN = { status: 502 };
const BUFFERED = { silentAfter: 0 };

test("a stream comes first, and stays while heartbeats come", async () => {
  const { relay, subscription, ids } = start();
  await pass(3_600_000);
  expect(relay.transports).toEqual(["sse"]);
  expect(subscription.status).toEqual({ state: "ready", transport: "sse" });
  expect(ids()).toEqual([]);
});

test("a stream without an answer within openTimeout is left for long polls, at once", async () => {
  const { relay, subscription } = start({}, relayWith({ sse: { stall: true } }));
  await pass(4999);
  expect(relay.transports).toEqual(["sse"]);
  await pass(2);
  expect(relay.transports).toEqual(["sse", "poll", "long-poll"]);
  expect(subscription.status).toEqual({ state: "ready", transport: "long-poll" });
});

test("a stream whose head comes but whose body a proxy keeps back is left after openTimeout", async () => {
  const { relay, subscription } = start({ openTimeout: 1000 }, relayWith({ sse: BUFFERED }));
  await pass(999);
  expect(relay.transports).toEqual(["sse"]);
  await pass(2);
  expect(subscription.status).toEqual({ state: "ready", transport: "long-poll" });
});

test("a stream of which nothing but the retry line comes is left after openTimeout", async () => {
  const { subscription } = start({}, relayWith({ sse: { silentAfter: "retry: 2000\n\n".length } }));
  await pass(5001);
  expect(subscription.status).toEqual({ state: "ready", transport: "long-poll" });
});

test("a stream that is ready and then silent, without even a heartbeat, is left after silenceTimeout", async () => {
  const relay = new Relay();
  relay.heartbeat = 0;
  const { subscription } = start({}, relay);
  await pass(34_999);
  expect(relay.transports).toEqual(["sse"]);
  await pass(2);
  expect(relay.transports).toEqual(["sse", "poll", "long-poll"]);
  expect(subscription.status).toEqual({ state: "ready", transport: "long-poll" });
});

test("a stream that dies after it has worked is tried again before any other", async () => {
  const relay = new Relay();
  start({}, relay);
  await pass(60_001);
  relay.heartbeat = 0;
  for (const stream of relay.streams) stream.fault.silentAfter = 1;
  relay.write();
  await pass(35_000 + 4000);
  expect(relay.transports).toEqual(["sse", "sse"]);
});

test("one failure may be chance, two in a row are none", async () => {
  const { relay } = start({}, relayWith({ sse: BROKEN }));
  await until(() => relay.requests.length >= 4, "long polls");
  expect(relay.transports.slice(0, 4)).toEqual(["sse", "sse", "poll", "long-poll"]);
});

test("rejected requests and answers of another type count as failures, too", async () => {
  for (const sse of [{ reject: true }, { headers: { "content-type": "text/html" }, body: "<p>Welcome to the Wi-Fi" }]) {
    const { relay, subscription } = start({}, relayWith({ sse }));
    await until(() => subscription.status.transport === "long-poll", "long polls");
    await until(() => relay.requests.length > 2, "the next one");
    expect(relay.transports.slice(0, 3)).toEqual(["sse", "sse", "poll"]);
  }
});

// Fails where an attempt that is over leaves its connection open.
test("what answers with another type and then goes on for ever is let go", async () => {
  const page = { headers: { "content-type": "text/html" }, body: "<p>Log in", silentAfter: 1 };
  const { relay } = start({ transports: ["sse"] }, relayWith({ sse: page }));
  await until(() => relay.requests.length === 4, "attempts");
  expect(relay.mostInFlight).toBe(1);
});

test("a failure after a success is the first again", async () => {
  let isBroken = true;
  const { relay, subscription } = start({}, relayWith({ sse: () => (isBroken ? BROKEN : undefined) }));
  await until(() => relay.requests.length === 1, "an attempt");
  isBroken = false;
  await pass(60_000);
  expect(subscription.status.state).toBe("ready");
  isBroken = true;
  relay.end("shutting_down");
  await until(() => relay.requests.length >= 5, "an attempt after the end, another one, and a poll");
  expect(relay.transports.slice(0, 5)).toEqual(["sse", "sse", "sse", "sse", "poll"]);
});

test("503 with Retry-After is waited for, and a failure like any other", async () => {
  const overloaded = { status: 503, headers: { "retry-after": "7" }, body: { code: "database_unavailable" } };
  const { relay, statuses } = start({}, relayWith({ sse: overloaded }));
  await until(() => relay.requests.length === 4, "long polls");
  expect(relay.transports).toEqual(["sse", "sse", "poll", "long-poll"]);
  const [first = 0, second = 0, third = 0] = relay.requests.map(({ at }) => at);
  expect(second - first).toBeGreaterThanOrEqual(7000);
  expect(third - second).toBeGreaterThanOrEqual(7000);
  const waiting = statuses.find(({ state }) => state === "waiting");
  expect(waiting?.error).toMatchObject({ status: 503, code: "database_unavailable", retryAfterMs: 7000 });
});

test("where long polls fail as well it polls", async () => {
  const { subscription, relay } = start({}, relayWith({ sse: BUFFERED, "long-poll": BROKEN }));
  await until(() => subscription.status.transport === "poll", "polls", 20_000);
  relay.write(3);
  await pass(12_000);
  expect(relay.transports.at(-1)).toBe("poll");
  expect(subscription.status).toEqual({ state: "ready", transport: "poll" });
});

// Fails where a climb that failed takes a strike back: then a pause that is longer than the climb's keeps it from the second.
test("long polls that fail are left for polls however often it climbs in between", async () => {
  vi.spyOn(Math, "random").mockReturnValue(1);
  const faults = { sse: BUFFERED, "long-poll": BROKEN };
  const { subscription, relay } = start(
    { climbAfter: 100, transports: ["sse", "long-poll", "poll"] },
    relayWith(faults),
  );
  await until(() => subscription.status.transport === "poll", "polls", 60_000);
  expect(relay.mostInFlight).toBe(1);
});

test("a long poll that a proxy never answers is left for polls at once", async () => {
  const { subscription } = start({}, relayWith({ sse: BUFFERED, "long-poll": { stall: true } }));
  await pass(5000 + 25_000 + 10_001);
  expect(subscription.status).toEqual({ state: "ready", transport: "poll" });
});

test("an answer that begins and never ends has stalled, too", async () => {
  const { subscription } = start({ transports: ["long-poll", "poll"] }, relayWith({ "long-poll": { silentAfter: 3 } }));
  await pass(35_001);
  expect(subscription.status).toEqual({ state: "ready", transport: "poll" });
});

test("where nothing works it goes round: from the bottom to the top, with a pause on each rung", async () => {
  const { relay, statuses } = start({}, relayWith({ sse: BROKEN, "long-poll": BROKEN, poll: BROKEN }));
  await until(() => relay.requests.length >= 14, "fourteen attempts");
  expect(relay.transports.slice(0, 8)).toEqual(["sse", "sse", "poll", "poll", "poll", "poll", "sse", "sse"]);
  expect(statuses.filter(({ state }) => state === "waiting").length).toBeGreaterThanOrEqual(9);
});

test("where everything stalls it goes round, too, and does not spin", async () => {
  const { relay } = start({}, relayWith({ sse: BUFFERED, "long-poll": { stall: true }, poll: { stall: true } }));
  await pass(120_000);
  expect(relay.transports.slice(0, 4)).toEqual(["sse", "poll", "poll", "sse"]);
  expect(relay.requests.length).toBeLessThan(20);
});

test("after climbAfter it tries the better transport, and stays there where it works", async () => {
  let isBuffered = true;
  const { relay, subscription } = start({}, relayWith({ sse: () => (isBuffered ? BUFFERED : undefined) }));
  await pass(6000);
  isBuffered = false;
  relay.write(3);
  await until(() => subscription.status.transport === "sse", "a climb", 60_000);
  // A long poll that is under way is waited for.
  expect(now()).toBeGreaterThanOrEqual(5000 + 30_000);
  expect(now()).toBeLessThanOrEqual(5000 + 30_000 + 25_000);
  await pass(600_000);
  expect(subscription.status).toEqual({ state: "ready", transport: "sse" });
  expect(relay.mostInFlight).toBe(1);
});

/** When streams were asked for, each in ms after the one before. */
const betweenStreams = (relay: Relay) => {
  const times = relay.requests.filter(({ transport }) => transport === "sse").map(({ at }) => at);
  return times.slice(1).map((at, index) => at - (times[index] ?? 0));
};

// Fails where `worked` takes the time on the lower rung for a proof of the better one: then no pause is longer than twice.
test("each climb that fails doubles the pause before the next one, up to ten minutes", async () => {
  const { relay, subscription } = start({ transports: ["sse", "poll"] }, relayWith({ sse: BUFFERED }));
  await pass(3_600_000);
  const pauses = betweenStreams(relay);
  const due = [30, 60, 120, 240, 480, 600, 600, 600].map((seconds) => seconds * 1000);
  for (const [at, pause] of due.entries()) {
    // The stream's own 5 s, and a poll's pause, which is not cut short.
    expect(pauses[at], `climb ${at}`).toBeGreaterThanOrEqual(pause);
    expect(pauses[at], `climb ${at}`).toBeLessThanOrEqual(pause + 5000 + 12_000);
  }
  expect(subscription.status.transport).toBe("poll");
});

test("the pause before a climb is short again once the better transport has worked for as long", async () => {
  let isBuffered = true;
  const { relay } = start(
    { transports: ["sse", "poll"] },
    relayWith({ sse: () => (isBuffered ? BUFFERED : undefined) }),
  );
  await pass(600_000);
  isBuffered = false;
  await until(() => relay.streams.size, "a climb");
  await pass(3_600_000);
  const before = relay.requests.length;
  isBuffered = true;
  relay.end("shutting_down");
  await pass(300_000);
  const streams = relay.requests.slice(before).filter(({ transport }) => transport === "sse");
  expect((streams[1]?.at ?? 0) - (streams[0]?.at ?? 0)).toBeLessThan(30_000 + 17_000);
  expect((streams[2]?.at ?? 0) - (streams[1]?.at ?? 0)).toBeGreaterThan(60_000);
});

test("a climb that fails leads back to where it came from, without a second try and without a pause", async () => {
  const { relay, statuses } = start({ transports: ["sse", "poll"] }, relayWith({ sse: BUFFERED }));
  await until(() => relay.transports.filter((name) => name === "sse").length === 2, "a climb");
  const climb = relay.requests.length - 1;
  statuses.splice(0);
  await pass(5001);
  expect(relay.transports.slice(climb, climb + 2)).toEqual(["sse", "poll"]);
  expect(statuses.filter(({ state }) => state === "waiting")).toEqual([]);
});

// Fails where a first answer, which every transport gives, counts as a proof: then it would climb every 30 s for ever.
test("a climb to long polls that can't wait is a failed one, too", async () => {
  const { relay } = start({ transports: ["long-poll", "poll"] }, relayWith({ "long-poll": BROKEN }));
  await pass(3_600_000);
  const climbs = relay.requests.filter(({ transport }) => transport === "long-poll").length;
  expect(climbs).toBeLessThan(16);
});

test("a climb to a stream that is ready and then silent is a failed one, too", async () => {
  const relay = new Relay();
  relay.heartbeat = 0;
  start({ transports: ["sse", "poll"] }, relay);
  await pass(3_600_000);
  expect(betweenStreams(relay).length).toBeLessThan(10);
});

test("from polls it climbs to long polls and to streams by turns", async () => {
  const { relay } = start({ climbAfter: 10_000 }, relayWith({ sse: BUFFERED, "long-poll": BROKEN }));
  await pass(600_000);
  const better = relay.transports.filter((name) => name !== "poll");
  expect(better.filter((name) => name === "sse").length).toBeGreaterThan(1);
  expect(better.filter((name) => name === "long-poll").length).toBeGreaterThan(1);
});

// Fails where each attempt has a climb of its own: attempts that end before it is due put it off for ever.
test("it climbs from long polls that are cut again and again, too", async () => {
  let isBuffered = true;
  const relay = relayWith({
    sse: () => (isBuffered ? BUFFERED : undefined),
    "long-poll": { delay: 20_000, status: 504 },
  });
  const { subscription } = start({ transports: ["sse", "long-poll"] }, relay);
  await pass(20_000);
  isBuffered = false;
  await pass(300_000);
  expect(subscription.status).toEqual({ state: "ready", transport: "sse" });
});

test("`online` begins at the top at once, whatever is under way", async () => {
  const target = new EventTarget();
  vi.stubGlobal("addEventListener", target.addEventListener.bind(target));
  let isBuffered = true;
  const { relay, subscription, ids } = start({}, relayWith({ sse: () => (isBuffered ? BUFFERED : undefined) }));
  await pass(10_000);
  expect(subscription.status.transport).toBe("long-poll");
  relay.write(2);
  await settle();
  isBuffered = false;
  target.dispatchEvent(new Event("online"));
  await settle();
  expect(subscription.status).toEqual({ state: "ready", transport: "sse" });
  expect(now()).toBe(10_000);
  expect(relay.mostInFlight).toBe(1);
  relay.write();
  await settle();
  expect(ids()).toEqual([1, 2, 3]);
});

test("`online` ends a pause between two attempts", async () => {
  const target = new EventTarget();
  vi.stubGlobal("addEventListener", target.addEventListener.bind(target));
  vi.spyOn(Math, "random").mockReturnValue(0.99);
  const { relay, subscription } = start({}, relayWith({ sse: BROKEN }));
  await settle();
  expect(subscription.status.state).toBe("waiting");
  target.dispatchEvent(new Event("online"));
  await settle();
  expect(relay.requests.map(({ at }) => at)).toEqual([0, 0]);
});
