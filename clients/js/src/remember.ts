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
  const { deliver, ready, reset, signal } = subscriber;
  const { next } = subscription;
  const seen = new Set<number | null>();

  const save = () => {
    if (!key) return;
    // They come again after the cursor that is kept.
    const waiting = new Set(subscriber.waiting?.map(([{ id }]) => id));
    const ids = [...seen].filter((id) => !waiting.has(id)).slice(-KEPT);
    try {
      sessionStorage.setItem(key, JSON.stringify([subscription.cursor, ids]));
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
    // One by one: where a callback closes it, what follows was not seen.
    for (const delivery of events) {
      if (signal.aborted) break;
      const [{ id }, cursor] = delivery;
      if (!seen.has(id)) deliver([delivery]);
      // Repeats move it, too.
      else if (cursor) subscriber.cursor = cursor;
      // One beyond 2^53 has lost digits: two that differ may look the same.
      if (Number.isSafeInteger(id)) seen.add(id);
    }
    for (const id of seen) {
      if (seen.size <= WINDOW) break;
      seen.delete(id);
    }
    save();
    return deliver([]);
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
