/**
 * What a subscription knows and whom it tells: a cursor and callbacks.
 *
 * It knows nothing of requests: whoever brings events (a connection of this tab, or another tab) hands them in here. What
 * more a subscription can do (be iterated, remember, share) is wrapped around these methods, so that whoever needs none of
 * it loads none of it.
 */

import type { Handlers, Options, Reset, RowEvent, Status } from "./types.js";

/** An event, and the cursor after it; none where it can't be resumed from. */
export type Delivery<Row> = [event: RowEvent<Row>, cursor: string | undefined];

/** What a subscription always is. */
export interface Face<Row> extends Handlers<Row> {
  readonly cursor: string | undefined;
  readonly status: Status;
  close(): void;
}

export interface Subscriber<Row> {
  readonly url: URL;
  readonly options: Options<Row>;
  /** What its owner sees. */
  readonly face: Face<Row>;
  /** Aborts when the subscription is over. */
  readonly signal: AbortSignal;
  /** The place after all that was handed in. */
  cursor: string | undefined;
  /** Events that an iteration has yet to take. */
  waiting?: Delivery<Row>[];
  /** Hands events over. Wait for it before more is read; where there are none it waits only. */
  deliver(events: Delivery<Row>[]): Promise<void> | undefined;
  /** Nothing is missing up to `cursor`. */
  ready(cursor: string): void;
  /** What follows begins afresh: with the newest where those are wanted, else after `cursor`. */
  reset(code: string, cursor: string | undefined): void;
  report(status: Status): void;
  /** Ends it, where given for an error. */
  close(error?: unknown): void;
}

/** An error of a callback is its owner's: it shows as an unhandled rejection, and nobody else stumbles over it. */
const call = async <T>(callback: ((value: T) => void) | undefined, value: T) => callback?.(value);

/** A subscriber that is nowhere yet, or at `options.after`. Throws where `url` is none. */
export function createSubscriber<Row>(url: string | URL, options: Options<Row>): Subscriber<Row> {
  const over = new AbortController();
  const { signal } = over;
  const { onEvent, onReset, onStatus, after, last } = options;
  const face: Face<Row> & { status: Status } = {
    onEvent,
    onReset,
    onStatus,
    get cursor() {
      return subscriber.cursor;
    },
    status: { state: "connecting", transport: "sse" },
    close: () => subscriber.close(),
  };
  const subscriber: Subscriber<Row> = {
    url: new URL(url, globalThis.location?.href),
    options,
    face,
    signal,
    cursor: after,
    deliver(events) {
      for (const [event, cursor] of events) {
        // A callback may have closed it.
        if (signal.aborted) return undefined;
        if (cursor) subscriber.cursor = cursor;
        call(face.onEvent, event);
      }
      return undefined;
    },
    ready(cursor) {
      subscriber.cursor = cursor;
    },
    reset(code, next) {
      if (signal.aborted) return;
      subscriber.cursor = last ? undefined : next;
      call(face.onReset, { code, cursor: subscriber.cursor } satisfies Reset);
    },
    report(next) {
      if (signal.aborted) return;
      face.status = next;
      call(face.onStatus, next);
    },
    close(error) {
      subscriber.report({ ...face.status, state: "closed", error });
      over.abort();
    },
  };
  if (options.signal?.aborted) face.close();
  options.signal?.addEventListener("abort", face.close, { signal });
  return subscriber;
}
