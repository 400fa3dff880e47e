/** `useRoom` in React's own renderer, in a document without a browser. */

import { Window } from "happy-dom";
import { act, StrictMode } from "react";
import type { Root } from "react-dom/client";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { type RoomOptions, useRoom } from "../../src/react.js";
import { URL_OF_ROOM } from "./support/client.js";
import { pass, settle, stopTheClock } from "./support/clock.js";
import { Relay } from "./support/relay.js";

stopTheClock();

let root: Root;
let container: HTMLElement;
let relay: Relay;

beforeEach(async () => {
  const window = new Window();
  vi.stubGlobal("window", window);
  vi.stubGlobal("document", window.document);
  vi.stubGlobal("navigator", window.navigator);
  vi.stubGlobal("IS_REACT_ACT_ENVIRONMENT", true);
  relay = new Relay();
  container = window.document.createElement("div") as unknown as HTMLElement;
  // Not before there is a document: it looks at its surroundings once.
  const { createRoot } = await import("react-dom/client");
  root = createRoot(container);
});
afterEach(async () => {
  await act(async () => root.unmount());
});

function Room({ url = URL_OF_ROOM, ...options }: RoomOptions<{ id: number }> & { url?: string | undefined }) {
  const { rows, status } = useRoom<{ id: number }>(url, { fetch: relay.fetch, ...options });
  return (
    <p>
      {status.state}: {rows.map(({ id }) => id).join(" ")}
    </p>
  );
}

const render = (element: React.ReactNode) =>
  act(async () => {
    root.render(element);
    await settle();
  });
const meanwhile = (work: () => void) =>
  act(async () => {
    work();
    await settle();
  });

test("a component shows the rows of its room, as they come", async () => {
  relay.write(3);
  await render(<Room last={2} />);
  expect(container.textContent).toBe("ready: 2 3");
  await meanwhile(() => relay.write(2));
  expect(container.textContent).toBe("ready: 2 3 4 5");
});

test("a reset empties it, and what follows fills it again", async () => {
  relay.write(3);
  await render(<Room last={5} limit={2} />);
  expect(container.textContent).toBe("ready: 2 3");
  await meanwhile(() => relay.truncate());
  expect(container.textContent).toBe("ready: ");
  await meanwhile(() => relay.write(1));
  expect(container.textContent).toBe("ready: 1");
});

test("callbacks are those of the latest rendering, without another subscription", async () => {
  const [first, second] = [vi.fn(), vi.fn()];
  await render(<Room onEvent={first} />);
  await render(<Room onEvent={second} />);
  await meanwhile(() => relay.write());
  expect(first).not.toHaveBeenCalled();
  expect(second).toHaveBeenCalledTimes(1);
  expect(relay.requests.length).toBe(1);
});

test("another URL is another subscription, and begins empty", async () => {
  relay.write(2);
  await render(<Room last={5} />);
  await render(<Room last={1} url="http://relay.test/v1/rooms/43/events" />);
  expect(container.textContent).toBe("ready: 2");
  expect(relay.streams.size).toBe(1);
  expect(relay.latest.url.pathname).toBe("/v1/rooms/43/events");
});

test("when the component goes, so does its connection, in strict mode as well", async () => {
  await render(
    <StrictMode>
      <Room />
    </StrictMode>,
  );
  expect(relay.streams.size).toBe(1);
  await render(null);
  expect(relay.streams.size).toBe(0);
  await act(() => pass(60_000));
  expect(relay.inFlight).toBe(0);
});
