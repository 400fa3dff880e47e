/** Pauses between attempts, tokens, and answers that end a subscription. */

import { expect, test, vi } from "vitest";
import { RowcastError, type Status } from "../../src/index.js";
import { closeAfterEach, relayWith, start } from "./support/client.js";
import { now, pass, settle, stopTheClock, until } from "./support/clock.js";
import type { Fault, Relay, Seen } from "./support/relay.js";

stopTheClock();
closeAfterEach();

const BROKEN = { status: 502 };
const waits = (statuses: Status[]) =>
  statuses.flatMap(({ state, retryInMs = [] }) => (state === "waiting" ? retryInMs : []));

/** The first pauses of a client that never gets through, where chance is always the same. */
async function pauses(count: number, chance: number, relay: Relay): Promise<number[]> {
  vi.spyOn(Math, "random").mockReturnValue(chance);
  const { statuses, subscription } = start({ transports: ["sse"] }, relay);
  await until(() => waits(statuses).length === count, "pauses");
  subscription.close();
  return waits(statuses);
}

test("pauses double from one second to thirty, and chance takes any part of them", async () => {
  const broken = relayWith({ sse: BROKEN });
  expect(await pauses(7, 1, broken)).toEqual([1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
  expect(await pauses(4, 0.25, broken)).toEqual([250, 500, 1000, 2000]);
  expect(await pauses(3, 0, broken)).toEqual([0, 0, 0]);
});

test("the pause that a status names is the pause that is made", async () => {
  vi.spyOn(Math, "random").mockReturnValue(0.5);
  const { relay, statuses } = start({ transports: ["sse"] }, relayWith({ sse: BROKEN }));
  await until(() => relay.requests.length === 5, "attempts");
  const times = relay.requests.map(({ at }) => at);
  expect(times.slice(1).map((at, index) => at - (times[index] ?? 0))).toEqual(waits(statuses).slice(0, 4));
});

test("the relay's `retry` is the first pause's bound from then on", async () => {
  const relay = relayWith({ sse: () => ({ cutAfter: 20, cut: "close" }) });
  relay.retry = 3000;
  expect(await pauses(5, 1, relay)).toEqual([3000, 6000, 12_000, 24_000, 30_000]);
});

test("Retry-After is the least pause, with the usual one on top; one that is a date is passed over", async () => {
  const busy = (after: string) => relayWith({ sse: { status: 503, headers: { "retry-after": after } } });
  expect(await pauses(2, 0.5, busy("20"))).toEqual([20_500, 21_000]);
  expect(await pauses(2, 1, busy("Sat, 21 Nov 2026 00:00:00 GMT"))).toEqual([1000, 2000]);
});

test("an attempt that has worked sets the pauses back", async () => {
  let fault: Fault | undefined = BROKEN;
  const { relay, statuses } = start({ transports: ["sse"] }, relayWith({ sse: () => fault }));
  vi.spyOn(Math, "random").mockReturnValue(1);
  await until(() => waits(statuses).length === 5, "long pauses");
  fault = undefined;
  await pass(100_000);
  statuses.splice(0);
  fault = BROKEN;
  relay.retry = 1000;
  for (const stream of relay.streams) stream.fault.cutAfter = 0;
  relay.write();
  await settle();
  // The bound is the relay's `retry` now, 2 s.
  expect(waits(statuses)).toEqual([2000]);
});

// Without the bound of `OPEN_TIMEOUT` a stream that is cut as soon as it is ready is asked for again and again.
test("a stream that is cut as soon as it is ready counts as a failure", async () => {
  vi.spyOn(Math, "random").mockReturnValue(1);
  const all = 'retry: 1000\n\nevent: ready\nid: 1.0\ndata: {"cursor":"1.0"}\n\n'.length;
  const relay = relayWith({ sse: { cutAfter: all, cut: "close" } });
  relay.retry = 1000;
  const { statuses } = start({ transports: ["sse"] }, relay);
  await until(() => waits(statuses).length === 4, "pauses");
  expect(statuses.filter(({ state }) => state === "ready").length).toBe(4);
  expect(waits(statuses)).toEqual([1000, 2000, 4000, 8000]);
});

test("after the relay's `end` a little time goes by, so that not all clients come at once", async () => {
  vi.spyOn(Math, "random").mockReturnValue(1);
  const { relay, statuses } = start();
  await pass(60_000);
  relay.end("shutting_down");
  await settle();
  expect(statuses.at(-1)).toEqual({ state: "waiting", transport: "sse", retryInMs: 1000, error: undefined });
  await pass(1000);
  expect(relay.transports).toEqual(["sse", "sse"]);
  expect(relay.latest.after).toBe("1.0");
});

const bearer = ({ headers }: Seen) => headers.get("authorization");
/** Admits these tokens only. */
const admitting = (...tokens: string[]) => {
  const check = (seen: Seen) =>
    tokens.includes(bearer(seen) ?? "") ? undefined : { status: 401, body: { code: "unauthenticated" } };
  return relayWith({ sse: check, "long-poll": check, poll: check });
};

test("a token is sent as a bearer token, and without one there is no such header", async () => {
  const { relay } = start({ token: "one" });
  await settle();
  expect(bearer(relay.latest)).toBe("Bearer one");
  const { relay: open } = start();
  await settle();
  expect(bearer(open.latest)).toBeNull();
});

test("a token that is a string is refused once and for all", async () => {
  const { relay, subscription } = start({ token: "old" }, admitting("Bearer new"));
  await settle();
  expect(relay.requests.length).toBe(1);
  expect(subscription.status).toMatchObject({ state: "closed", error: { status: 401, code: "unauthenticated" } });
});

test("a function is called again after a 401, and its new token is used at once", async () => {
  const tokens = ["old", "new", "newer"];
  const { relay, subscription } = start({ token: async () => tokens.shift() as string }, admitting("Bearer new"));
  await settle();
  expect(relay.requests.map(bearer)).toEqual(["Bearer old", "Bearer new"]);
  expect(subscription.status.state).toBe("ready");
  expect(now()).toBe(0);
  expect(tokens).toEqual(["newer"]);
});

test("a second 401 in a row, with a fresh token, is final", async () => {
  const token = vi.fn(() => "wrong");
  const { relay, subscription } = start({ token }, admitting());
  await pass(60_000);
  expect(relay.requests.length).toBe(2);
  expect(token).toHaveBeenCalledTimes(2);
  expect(subscription.status).toMatchObject({ state: "closed", error: { status: 401 } });
});

test("a token may expire any number of times, as long as each new one works", async () => {
  let valid = 1;
  const check = (seen: Seen) => (bearer(seen) === `Bearer ${valid}` ? undefined : { status: 401 });
  const relay = relayWith({ "long-poll": check, poll: check });
  const { subscription } = start({ token: () => String(valid), transports: ["long-poll"] }, relay);
  for (; valid < 5; valid++) await pass(60_000);
  await pass(60_000);
  expect(subscription.status.state).toBe("ready");
});

test("`token_expired` at a stream's end asks for a new token, other ends don't", async () => {
  const token = vi.fn(() => "fine");
  const { relay } = start({ token });
  await pass(60_000);
  relay.end("shutting_down");
  await pass(60_000);
  expect(token).toHaveBeenCalledTimes(1);
  relay.end("token_expired");
  await pass(60_000);
  expect(token).toHaveBeenCalledTimes(2);
  expect(relay.requests.length).toBe(3);
});

test("a token function that fails is asked again after a pause", async () => {
  let failures = 2;
  const token = () => (failures-- > 0 ? Promise.reject(new Error("No session")) : "fine");
  const { relay, statuses, subscription } = start({ token, transports: ["sse"] });
  await until(() => subscription.status.state === "ready", "a token");
  expect(statuses.filter(({ error }) => (error as Error)?.message === "No session").length).toBe(2);
  expect(relay.requests.length).toBeGreaterThan(0);
});

test("400, 403 and 404 end it with the relay's code, in the status and by the iterator's throw", async () => {
  for (const [status, code] of [
    [400, "invalid_parameter"],
    [403, "forbidden"],
    [404, "unknown_room"],
  ] as const) {
    const answer = { status, body: { code, detail: `It is ${code}` } };
    const { relay, subscription, statuses } = start({}, relayWith({ sse: answer }));
    const taken = subscription.next();
    taken.catch(() => {});
    await pass(60_000);
    expect(relay.requests.length).toBe(1);
    const { error } = subscription.status;
    expect(error).toBeInstanceOf(RowcastError);
    expect(error).toMatchObject({ name: "RowcastError", message: `It is ${code}`, status, code });
    expect(statuses.at(-1)).toEqual({ state: "closed", transport: "sse", error });
    await expect(taken).rejects.toBe(error);
    expect(await subscription.next()).toEqual({ value: undefined, done: true });
  }
});

test("a final answer of another server's has a code as well", async () => {
  const { subscription } = start({}, relayWith({ sse: { status: 404, body: "<h1>Not found" } }));
  await settle();
  expect(subscription.status.error).toMatchObject({ status: 404, code: "http_404" });
});

test("a cursor that the relay can't read is given up, and it begins anew", async () => {
  const { relay, resets, ids, subscription } = start({ after: "nonsense", last: 2 });
  relay.write(3);
  await until(() => subscription.status.state === "ready", "a beginning");
  expect(resets).toEqual([{ code: "invalid_cursor", cursor: undefined }]);
  expect(ids()).toEqual([2, 3]);
  expect(subscription.status.state).toBe("ready");
});

test("409 and 410 go on from the cursor that they name, after a short pause however often it comes", async () => {
  vi.spyOn(Math, "random").mockReturnValue(1);
  for (const status of [409, 410]) {
    const gone = { status, body: { code: "gone", cursor: "1.7" } };
    const { relay, resets, statuses } = start({ after: "1.3", transports: ["poll"] }, relayWith({ poll: gone }));
    await pass(5000);
    expect(resets[0]).toEqual({ code: "gone", cursor: "1.7" });
    expect(relay.requests.slice(0, 2).map(({ after, at }) => [after, at - (relay.requests[0]?.at ?? 0)])).toEqual([
      ["1.3", 0],
      ["1.7", 500],
    ]);
    expect(new Set(waits(statuses))).toEqual(new Set([500]));
  }
});
