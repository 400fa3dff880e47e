/** How a subscription ends, and that callbacks can't disturb it. */

import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { subscribe, type TransportName } from "../../src/index.js";
import { closeAfterEach, range, relayWith, start, URL_OF_ROOM } from "./support/client.js";
import { pass, settle, stopTheClock } from "./support/clock.js";
import { Relay } from "./support/relay.js";

stopTheClock();
closeAfterEach();

const TRANSPORTS: TransportName[] = ["sse", "long-poll", "poll"];

test("`close` ends request and timers at once, whatever is under way", async () => {
  for (const transport of TRANSPORTS) {
    for (const fault of [{}, { stall: true }, { status: 502 }, { silentAfter: 0 }, { delay: 1000 }]) {
      const relay = relayWith({ sse: fault, "long-poll": fault, poll: fault });
      relay.heartbeat = 0;
      const { subscription, statuses } = start({ transports: [transport] }, relay);
      await pass(500);
      subscription.close();
      expect(relay.inFlight).toBe(0);
      const sent = relay.requests.length;
      await pass(600_000);
      expect(relay.requests.length).toBe(sent);
      expect(vi.getTimerCount()).toBe(0);
      expect(statuses.filter(({ state }) => state === "closed").length).toBe(1);
    }
  }
});

test("`close` before the first request makes none", async () => {
  const { relay, subscription, statuses } = start();
  subscription.close();
  subscription.close();
  await pass(60_000);
  expect(relay.requests).toEqual([]);
  expect(statuses).toEqual([{ state: "closed", transport: "sse", error: undefined }]);
});

test("an AbortSignal ends it as `close` does, also one that is aborted already", async () => {
  const controller = new AbortController();
  const { relay, subscription } = start({ signal: controller.signal });
  await settle();
  expect(relay.inFlight).toBe(1);
  controller.abort();
  expect(relay.inFlight).toBe(0);
  expect(subscription.status).toMatchObject({ state: "closed", error: undefined });
  const { relay: unasked, subscription: late } = start({ signal: controller.signal });
  expect(late.status.state).toBe("closed");
  await pass(60_000);
  expect(unasked.requests).toEqual([]);
  expect(await late.next()).toEqual({ value: undefined, done: true });
});

test("a closed subscription leaves no listener at the signal that it was given", async () => {
  const { signal } = new AbortController();
  const added = vi.spyOn(signal, "addEventListener");
  const { subscription } = start({ signal });
  await settle();
  const [, , removal] = added.mock.calls[0] as [string, unknown, { signal: AbortSignal }];
  expect(removal.signal.aborted).toBe(false);
  subscription.close();
  expect(removal.signal.aborted).toBe(true);
});

test("what is no URL is told at once", () => {
  expect(() => subscribe("/v1/rooms/42/events")).toThrow(TypeError);
});

test("callbacks may be set after subscribing, before anything comes", async () => {
  const relay = new Relay();
  relay.write(2);
  const subscription = subscribe(URL_OF_ROOM, { fetch: relay.fetch, last: 2 });
  const onEvent = vi.fn();
  subscription.onEvent = onEvent;
  await settle();
  subscription.close();
  expect(onEvent).toHaveBeenCalledTimes(2);
});

/** Errors that callbacks threw, which nobody else handles. */
let unhandled: unknown[] = [];
const keep = (error: unknown) => unhandled.push(error);
let others: NodeJS.UnhandledRejectionListener[] = [];
beforeEach(() => {
  unhandled = [];
  others = process.listeners("unhandledRejection");
  process.removeAllListeners("unhandledRejection").on("unhandledRejection", keep);
});
afterEach(() => {
  process.removeAllListeners("unhandledRejection");
  for (const listener of others) process.on("unhandledRejection", listener);
});

test("callbacks that throw disturb nobody but their owner", async () => {
  for (const transport of TRANSPORTS) {
    const fail = (what: string) => () => {
      throw new Error(what);
    };
    const relay = new Relay();
    relay.write(2);
    const { ids, subscription } = start(
      { last: 9, transports: [transport], onEvent: fail("event"), onReset: fail("reset"), onStatus: fail("status") },
      relay,
    );
    await settle();
    relay.truncate();
    await pass(10_000);
    relay.write(2);
    await pass(20_000);
    expect(ids()).toEqual([1, 2, 1, 2]);
    expect(subscription.status.state).toBe("ready");
    const told = new Set(unhandled.splice(0).map((error) => (error as Error).message));
    expect(told).toEqual(new Set(["event", "reset", "status"]));
    subscription.close();
    await settle();
  }
});

// Fails where `ready`, the window or a reset move the cursor of what is over: whoever resumes from it misses the rest.
test("whoever closes in the middle of a batch gets nothing more, and keeps the place where it closed", async () => {
  for (const transport of TRANSPORTS) {
    const relay = new Relay();
    relay.write(10);
    const {
      ids,
      subscription,
      relay: same,
    } = start({ after: "1.2", transports: [transport], onEvent: ({ id }) => id === 5 && subscription.close() }, relay);
    await pass(60_000);
    expect(ids()).toEqual([3, 4, 5]);
    // A poll's events have no place of their own before the last.
    const { cursor } = subscription;
    expect(cursor).toBe(transport === "sse" ? "1.5" : "1.2");
    const { ids: rest } = start({ ...(cursor && { after: cursor }) }, same);
    await settle();
    expect(new Set([...ids(), ...rest()])).toEqual(new Set(range(3, 10)));
  }
});

test("whoever closes before a reset in the same piece is not called for it", async () => {
  const relay = new Relay();
  const held: Uint8Array[] = [];
  let isHeld = false;
  relay.chunks = (bytes) => {
    if (!isHeld && !held.length) return [bytes];
    held.push(bytes);
    return isHeld ? [] : [Uint8Array.from(held.splice(0).flatMap((part) => [...part]))];
  };
  const { subscription, resets, statuses } = start({ onEvent: () => subscription.close() }, relay);
  await settle();
  isHeld = true;
  relay.write(3);
  isHeld = false;
  relay.truncate();
  await settle();
  expect(resets).toEqual([]);
  expect(statuses.at(-1)?.state).toBe("closed");
  expect(subscription.cursor).toBe("1.1");
});
