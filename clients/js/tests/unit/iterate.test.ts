/** Iterations over a subscription, at the pace of their bodies. */

import { expect, test } from "vitest";
import { subscribe } from "../../src/index.js";
import { closeAfterEach, range, start, URL_OF_ROOM } from "./support/client.js";
import { pass, settle, stopTheClock } from "./support/clock.js";
import { Relay } from "./support/relay.js";

stopTheClock();
closeAfterEach();

test("an iteration gives each event once, in order, and `break` closes", async () => {
  const relay = new Relay();
  relay.write(5);
  const subscription = subscribe(URL_OF_ROOM, { fetch: relay.fetch, after: "1.0" });
  const ids: unknown[] = [];
  for await (const event of subscription) {
    ids.push(event.id);
    if (ids.length === 3) relay.write(2);
    if (ids.length === 7) break;
  }
  expect(ids).toEqual(range(1, 7));
  expect(subscription.status.state).toBe("closed");
  expect(relay.inFlight).toBe(0);
});

test("an iteration that waits ends when the subscription is closed", async () => {
  const { subscription } = start();
  const taken = subscription.next();
  await settle();
  subscription.close();
  expect(await taken).toEqual({ value: undefined, done: true });
});

test("what came before the end is still given after it", async () => {
  const { relay, subscription } = start({ after: "1.0" });
  subscription[Symbol.asyncIterator]();
  relay.write(3);
  await settle();
  subscription.close();
  const rest: unknown[] = [];
  for await (const { id } of subscription) rest.push(id);
  expect(rest).toEqual([1, 2, 3]);
});

test("callbacks are called as well, at once", async () => {
  const { relay, subscription, ids } = start({ after: "1.0" });
  const taken = subscription.next();
  relay.write(3);
  expect((await taken).value?.id).toBe(1);
  expect(ids()).toEqual([1, 2, 3]);
});

// Fails without the wait for room: a body that never catches up would fill the memory.
test("while 512 events wait no more are read", async () => {
  const relay = new Relay();
  relay.write(3000);
  const { subscription } = start({ after: "1.0", transports: ["poll"] }, relay);
  subscription[Symbol.asyncIterator]();
  await pass(60_000);
  expect(relay.requests.length).toBe(1);
  for (let n = 1; n <= 488; n++) await subscription.next();
  await pass(60_000);
  expect(relay.requests.length).toBe(1);
  expect((await subscription.next()).value?.id).toBe(489);
  await settle();
  expect(relay.requests.length).toBe(2);
  for (const id of range(490, 3000)) expect((await subscription.next()).value?.id).toBe(id);
});

test("a stream is read no further either", async () => {
  const relay = new Relay();
  const { subscription, ids } = start({}, relay);
  subscription[Symbol.asyncIterator]();
  await settle();
  for (let n = 0; n < 10; n++) {
    relay.write(100);
    await settle();
  }
  expect(ids().length).toBe(600);
  for (const id of range(1, 1000)) expect((await subscription.next()).value?.id).toBe(id);
});

test("without an iteration nothing waits, however much comes", async () => {
  const relay = new Relay();
  relay.write(3000);
  const { ids } = start({ after: "1.0", transports: ["poll"] }, relay);
  await settle();
  expect(ids().length).toBe(3000);
});

// Fails where the cursor is that of what came: who keeps it and begins again misses what waited.
test("the cursor is that of what was taken, not of what waits", async () => {
  const relay = new Relay();
  relay.write(5);
  const { subscription } = start({ after: "1.0" }, relay);
  subscription[Symbol.asyncIterator]();
  await settle();
  expect(subscription.cursor).toBe("1.0");
  for (const id of range(1, 5)) {
    await subscription.next();
    expect(subscription.cursor).toBe(`1.${id}`);
  }
});

test("in the middle of a poll's answer the cursor is the one before it", async () => {
  const relay = new Relay();
  relay.write(3);
  const { subscription } = start({ after: "1.0", transports: ["poll"] }, relay);
  const cursors: unknown[] = [];
  for (let n = 0; n < 3; n++) {
    await subscription.next();
    cursors.push(subscription.cursor);
  }
  expect(cursors).toEqual(["1.0", "1.0", "1.3"]);
});
