/** The entry with Server-Sent Events alone. */

import { expect, test } from "vitest";
import { RowcastError, subscribe } from "../../src/sse.js";
import { range, relayWith, URL_OF_ROOM } from "./support/client.js";
import { pass, settle, stopTheClock, until } from "./support/clock.js";
import { Relay } from "./support/relay.js";

stopTheClock();

test("it follows a stream, resumes where it was cut, and closes", async () => {
  const relay = new Relay();
  relay.write(3);
  const ids: unknown[] = [];
  const subscription = subscribe(URL_OF_ROOM, { fetch: relay.fetch, last: 2, onEvent: ({ id }) => ids.push(id) });
  await pass(20_000);
  relay.end("shutting_down");
  relay.write(2);
  await until(() => relay.streams.size, "another stream");
  relay.write(1);
  await settle();
  expect(ids).toEqual(range(2, 6));
  expect(subscription.cursor).toBe("1.6");
  expect(relay.transports).toEqual(["sse", "sse"]);
  subscription.close();
  expect(relay.inFlight).toBe(0);
  expect(subscription.status.state).toBe("closed");
});

test("where streams don't get through it goes on trying them", async () => {
  const relay = relayWith({ sse: () => (relay.requests.length < 5 ? { silentAfter: 0 } : {}) });
  const subscription = subscribe(URL_OF_ROOM, { fetch: relay.fetch });
  await until(() => subscription.status.state === "ready", "a stream");
  expect(relay.transports).toEqual(["sse", "sse", "sse", "sse", "sse"]);
  expect(relay.mostInFlight).toBe(1);
  subscription.close();
});

test("a final answer ends it with a RowcastError", async () => {
  const relay = relayWith({ sse: { status: 403, body: { code: "forbidden" } } });
  const subscription = subscribe(URL_OF_ROOM, { fetch: relay.fetch });
  await settle();
  expect(subscription.status.error).toBeInstanceOf(RowcastError);
});

// Without `remember` around it, it is the subscriber itself that must stop at the place.
test("whoever closes in the middle of a batch keeps the place where it closed", async () => {
  const relay = new Relay();
  relay.write(5);
  const ids: unknown[] = [];
  const subscription = subscribe(URL_OF_ROOM, {
    fetch: relay.fetch,
    after: "1.0",
    onEvent({ id }) {
      ids.push(id);
      if (id === 2) subscription.close();
    },
  });
  await settle();
  expect(ids).toEqual([1, 2]);
  expect(subscription.cursor).toBe("1.2");
});
