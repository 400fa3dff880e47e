/** What requests carry, and when polls are made. */

import { expect, test, vi } from "vitest";
import { closeAfterEach, relayWith, start, URL_OF_ROOM } from "./support/client.js";
import { pass, settle, stopTheClock, until } from "./support/clock.js";
import { Relay } from "./support/relay.js";

stopTheClock();
closeAfterEach();

const queries = (relay: Relay) => relay.requests.map(({ url }) => Object.fromEntries(url.searchParams));
const gaps = (relay: Relay) => relay.requests.slice(1).map(({ at }, index) => at - (relay.requests[index]?.at ?? 0));

test("a stream is asked for with `last`, and resumed with the cursor as well", async () => {
  const { relay } = start({ last: 20 });
  relay.write(2);
  await pass(6000);
  relay.end("shutting_down");
  await pass(3000);
  expect(queries(relay)).toEqual([{ last: "20" }, { last: "20", after: "1.2" }]);
  expect(relay.latest.headers.get("accept")).toBe("text/event-stream");
});

test("without options it begins from now", async () => {
  const { relay, ids } = start();
  relay.write(5);
  await settle();
  expect(queries(relay)).toEqual([{ last: "0" }]);
  expect(ids()).toEqual([]);
});

test("`after` is where it begins, and what the URL has of its own stays", async () => {
  const { relay, ids } = start({ after: "1.3" }, undefined, "http://relay.test/v1/events?room=a&room=b%20c");
  relay.write(5);
  await settle();
  expect(relay.latest.url.searchParams.getAll("room")).toEqual(["a", "b c"]);
  expect(queries(relay)[0]).toMatchObject({ after: "1.3" });
  expect(ids()).toEqual([4, 5]);
});

// Fails where the first one waits: of a relay without a cursor it means "from now on", and a cut answer loses what came.
test("long polls begin with a plain poll, and go on from its cursor with `wait`", async () => {
  const { relay } = start({ transports: ["long-poll"], last: 3 });
  relay.write(4);
  await pass(25_000);
  expect(queries(relay)).toEqual([
    { limit: "1000", last: "3" },
    { limit: "1000", wait: "25", last: "3", after: "1.4" },
    { limit: "1000", wait: "25", last: "3", after: "1.4" },
  ]);
  expect(relay.latest.headers.get("accept")).toBe("application/json");
});

test("`wait` is what the option says", async () => {
  const { relay } = start({ transports: ["long-poll"], wait: 3 });
  await pass(7000);
  expect(relay.requests.map(({ wait, at }) => [wait, at])).toEqual([
    [null, 0],
    ["3", 0],
    ["3", 3000],
    ["3", 6000],
  ]);
});

test("headers, credentials and the cache are as asked for", async () => {
  const { relay } = start({ headers: { "x-tenant": "acme" }, credentials: "include" });
  await settle();
  expect(relay.latest.headers.get("x-tenant")).toBe("acme");
  expect(relay.latest.init).toMatchObject({ credentials: "include", cache: "no-store" });
});

test("the global fetch serves where there is no other, and a relative URL is the page's", async () => {
  const relay = new Relay();
  vi.stubGlobal("fetch", relay.fetch);
  vi.stubGlobal("location", { href: "http://relay.test/app/" });
  const { subscription } = start({ fetch: undefined } as object, relay, "/v1/rooms/42/events");
  await settle();
  expect(relay.latest.url.href).toBe(`${URL_OF_ROOM}?last=0`);
  expect(subscription.status.state).toBe("ready");
});

test("polls come after two to three seconds while there is news", async () => {
  const { relay } = start({ transports: ["poll"], after: "1.0" });
  relay.write();
  for (let n = 0; n < 200; n++) {
    await until(() => relay.requests.length === n + 1, "a poll");
    relay.write();
  }
  const pauses = gaps(relay);
  expect(Math.min(...pauses)).toBeGreaterThanOrEqual(2000);
  expect(Math.max(...pauses)).toBeLessThanOrEqual(3000);
  expect(Math.max(...pauses) - Math.min(...pauses)).toBeGreaterThan(800);
});

test("without news pauses grow to four times that, and a row makes them short again", async () => {
  vi.spyOn(Math, "random").mockReturnValue(0);
  const { relay } = start({ transports: ["poll"] });
  await until(() => relay.requests.length === 8, "polls");
  expect(gaps(relay)).toEqual([3000, 4500, 6750, 8000, 8000, 8000, 8000]);
  relay.write();
  await until(() => relay.requests.length === 10, "polls");
  expect(gaps(relay).slice(-2)).toEqual([8000, 2000]);
});

/** A page: a document that may be hidden, and events at the window. */
function stubPage() {
  const target = new EventTarget();
  const page = { hidden: false, tell: (type: string) => target.dispatchEvent(new Event(type)) };
  vi.stubGlobal("document", page);
  vi.stubGlobal("addEventListener", target.addEventListener.bind(target));
  return page;
}

test("in a hidden page pauses grow to half a minute, and looking at it ends them", async () => {
  vi.spyOn(Math, "random").mockReturnValue(0);
  const page = stubPage();
  page.hidden = true;
  const { relay } = start({ transports: ["poll"] });
  await until(() => relay.requests.length === 12, "polls");
  expect(gaps(relay).slice(-2)).toEqual([30_000, 30_000]);
  await pass(100);
  page.hidden = false;
  page.tell("visibilitychange");
  await settle();
  expect(relay.requests.length).toBe(13);
  expect(gaps(relay).at(-1)).toBe(100);
  await pass(8000);
  expect(relay.requests.length).toBe(14);
});

test("looking at the page ends the pause between two attempts", async () => {
  vi.spyOn(Math, "random").mockReturnValue(1);
  const page = stubPage();
  const { relay } = start({ transports: ["sse"] }, relayWith({ sse: { reject: true } }));
  await settle();
  page.tell("visibilitychange");
  await settle();
  expect(relay.requests.map(({ at }) => at)).toEqual([0, 0]);
});

test("a closed subscription hears nothing of the page any more", async () => {
  const page = stubPage();
  const { relay, subscription } = start();
  await settle();
  subscription.close();
  page.tell("online");
  page.tell("visibilitychange");
  await pass(60_000);
  expect(relay.requests.length).toBe(1);
});

test("`pollInterval` is the least pause", async () => {
  vi.spyOn(Math, "random").mockReturnValue(0);
  const { relay } = start({ transports: ["poll"], pollInterval: 10 });
  await until(() => relay.requests.length === 3, "polls");
  expect(gaps(relay)).toEqual([15, 22]);
});
