/** Iterations: `for await` over a subscription, at the pace of its body. */

import type { Delivery, Subscriber } from "./subscriber.js";
import type { Subscription } from "./types.js";

/** Events that wait for the body before no more are read. */
const QUEUE = 512;

/** Makes the subscription an async iterator. From the first use on events wait for it, too. */
export function iterate<Row>(subscriber: Subscriber<Row>): Subscription<Row> {
  const { deliver, face, reset, signal } = subscriber;
  let queue: Delivery<Row>[] | undefined;
  /** The place after what was taken, while something waits. */
  let taken: string | undefined;
  /** Who waits for events, or for room. */
  const waiting: (() => void)[] = [];
  let isErrorTold = false;

  const change = () => new Promise<void>((resolve) => waiting.push(resolve));
  const changed = () => {
    for (const resolve of waiting.splice(0)) resolve();
  };
  signal.addEventListener("abort", changed);

  subscriber.deliver = async (events) => {
    if (queue) {
      if (!queue.length) taken = subscriber.cursor;
      queue.push(...events);
    }
    deliver(events);
    changed();
    while (!events.length && queue && queue.length >= QUEUE && !signal.aborted) await change();
  };

  // What waits is of before: it must not come after.
  subscriber.reset = (code, cursor) => {
    queue?.splice(0);
    reset(code, cursor);
  };

  const iterator = {
    [Symbol.asyncIterator]() {
      queue ??= subscriber.waiting = [];
      return this;
    },
    // What waits is still given after the end; then the error that it ended with, once.
    async next() {
      queue ??= subscriber.waiting = [];
      while (!queue.length && !signal.aborted) await change();
      const [delivery] = queue.splice(0, 1);
      if (delivery) {
        taken = delivery[1] ?? taken;
        changed();
        return { value: delivery[0], done: false };
      }
      const { error } = face.status;
      if (error && !isErrorTold) {
        isErrorTold = true;
        throw error;
      }
      return { value: undefined, done: true };
    },
    async return() {
      face.close();
      return { value: undefined, done: true };
    },
  };
  Object.defineProperty(face, "cursor", { get: () => (queue?.length ? taken : subscriber.cursor) });
  return Object.assign(face, iterator) as Subscription<Row>;
}
