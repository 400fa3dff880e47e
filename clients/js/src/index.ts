/**
 * Follows the rows of a room: over Server-Sent Events, else long polling, else polling, by one cursor.
 *
 * ```js
 * for await (const event of subscribe("/v1/rooms/42/events", { last: 50 })) console.log(event.row);
 * ```
 */

import { drive } from "./drive.js";
import { iterate } from "./iterate.js";
import { createLadder, type Rung } from "./ladder.js";
import { longPoll, poll } from "./poll.js";
import { remember } from "./remember.js";
import { share } from "./share.js";
import { sse } from "./stream.js";
import { createSubscriber } from "./subscriber.js";
import type { Options, Subscription, TransportName } from "./types.js";

export { RowcastError } from "./error.js";
export { RowList, type RowListOptions } from "./list.js";
export type * from "./types.js";

const TRANSPORTS = { sse, "long-poll": longPoll, poll } satisfies Record<TransportName, Rung[1]>;

/**
 * Subscribes to the events at `url` (`…/v1/rooms/42/events`, `…/v1/events?room=a&room=b`), relative to the page in a
 * browser. It begins at once, goes on through whatever the network does, and ends with `close()` or with a final answer
 * of the relay's. Throws where `url` is none.
 */
export function subscribe<Row = Record<string, unknown>>(
  url: string | URL,
  options: Options<Row> = {},
): Subscription<Row> {
  const { persist, transports = [], climbAfter } = options;
  const names = transports.length ? transports : (Object.keys(TRANSPORTS) as TransportName[]);
  const subscriber = createSubscriber(url, options);
  const subscription = iterate(subscriber);
  remember(subscriber, subscription, persist === true ? `rowcast:${subscriber.url}` : persist || undefined);
  const newLadder = () =>
    createLadder(
      names.map((name) => [name, TRANSPORTS[name]]),
      climbAfter,
    );
  // Not before the caller had the time to set callbacks.
  queueMicrotask(() => {
    // Where there are locks there are channels, too.
    if (options.share && globalThis.navigator?.locks) share(subscriber, newLadder);
    else drive(subscriber, newLadder(), subscriber.signal, subscriber.report);
  });
  return subscription;
}
