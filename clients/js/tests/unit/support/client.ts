/** A subscription to the relay in memory, and a record of all that it says. */

import { afterEach } from "vitest";
import { type Options, type Reset, type RowEvent, type Status, subscribe } from "../../../src/index.js";
import type { Subscription } from "../../../src/types.js";
import { Relay } from "./relay.js";

export const URL_OF_ROOM = "http://relay.test/v1/rooms/42/events";

export interface Client {
  relay: Relay;
  subscription: Subscription;
  events: RowEvent[];
  resets: Reset[];
  statuses: Status[];
  /** The ids of the events so far. */
  ids(): (number | null)[];
}

const open = new Set<Subscription>();

/** After each test of the file what it opened is closed. */
export function closeAfterEach(): void {
  afterEach(() => {
    for (const subscription of open) subscription.close();
    open.clear();
  });
}

/** Subscribes, by default to a new relay. Callbacks of `options` are called after the record was made. */
export function start(options: Options = {}, relay = new Relay(), url = URL_OF_ROOM): Client {
  const events: RowEvent[] = [];
  const resets: Reset[] = [];
  const statuses: Status[] = [];
  const subscription = subscribe(url, {
    fetch: relay.fetch,
    ...options,
    onEvent(event) {
      events.push(event);
      options.onEvent?.(event);
    },
    onReset(reset) {
      resets.push(reset);
      options.onReset?.(reset);
    },
    onStatus(status) {
      statuses.push(status);
      options.onStatus?.(status);
    },
  });
  open.add(subscription);
  return {
    relay,
    subscription,
    events,
    resets,
    statuses,
    ids: () => events.map(({ id }) => id),
  };
}

/** A relay whose streams and polls answer as `faults` says for each transport, always. */
export function relayWith(faults: { [transport in "sse" | "long-poll" | "poll"]?: Relay["fault"] | object }): Relay {
  const relay = new Relay();
  relay.fault = (seen) => {
    const fault = faults[seen.transport];
    return typeof fault === "function" ? fault(seen) : fault;
  };
  return relay;
}

/** The numbers from `first` to `last`. */
export const range = (first: number, last: number): number[] =>
  Array.from({ length: last - first + 1 }, (_, at) => first + at);
