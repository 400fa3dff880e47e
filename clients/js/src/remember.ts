/** What was seen: a window of ids, so that nothing is handed over twice, and what of it a reload keeps. */

import type { Subscriber } from "./subscriber.js";
import type { Subscription } from "./types.js";

/** Ids that are remembered. Cursors make repeats rare: one that had to be abridged, or another tab that lags behind. */
const WINDOW = 2048;
/** Of these, those that a reload keeps. */
const KEPT = 256;

/** Lets each event through once; with `key` it begins where the page was, by `sessionStorage`. */
export function remember<Row>(
  subscriber: Subscriber<Row>,
  subscription: Subscription<Row>,
  key: string | undefined,
): void {
  const { deliver, ready, reset } = subscriber;
  const { next } = subscription;
  const seen = new Set<number | null>();

  const save = () => {
    if (!key) return;
    try {
      sessionStorage.setItem(key, JSON.stringify([subscription.cursor, [...seen].slice(-KEPT)]));
    } catch {
      // Forbidden, or full: a reload begins anew.
    }
  };

  if (key) {
    try {
      const [cursor, ids] = JSON.parse(sessionStorage.getItem(key) as string);
      subscriber.cursor = cursor ?? undefined;
      for (const id of ids) seen.add(id);
    } catch {
      // Nothing kept, or no storage here.
    }
  }

  subscriber.deliver = (events) => {
    const fresh = events.filter(([{ id }]) => {
      // One beyond 2^53 has lost digits: two that differ may look the same.
      if (!Number.isSafeInteger(id)) return true;
      const isNew = !seen.has(id);
      seen.add(id);
      return isNew;
    });
    for (const id of seen) {
      if (seen.size <= WINDOW) break;
      seen.delete(id);
    }
    const room = deliver(fresh);
    // Repeats move it, too.
    for (const [, cursor] of events) subscriber.cursor = cursor ?? subscriber.cursor;
    save();
    return room;
  };
  subscriber.ready = (cursor) => {
    ready(cursor);
    save();
  };
  subscriber.reset = (code, cursor) => {
    seen.clear();
    reset(code, cursor);
    save();
  };
  subscription.next = async () => {
    const result = await next();
    save();
    return result;
  };
}
