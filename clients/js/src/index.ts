/**
 * Follows the rows of a room: over Server-Sent Events, else long polling, else polling, by one cursor.
 *
 * ```js
 * for await (const event of subscribe("/v1/rooms/42/events", { last: 50 })) console.log(event.row);
 * ```
 */

import { open } from "./open.js";
import { longPoll, poll } from "./poll.js";
import { share } from "./share.js";
import { sse } from "./stream.js";
import type { Options, Subscription, TransportName } from "./types.js";

export { RowcastError } from "./error.js";
export { RowList, type RowListOptions } from "./list.js";
export type * from "./types.js";

const TRANSPORTS = { sse, "long-poll": longPoll, poll };

/**
 * Subscribes to the events at `url` (`…/v1/rooms/42/events`, `…/v1/events?room=a&room=b`), relative to the page in a
 * browser. It begins at once, goes on through whatever the network does, and ends with `close()` or a final answer of
 * the relay's. Throws where `url` is none.
 */
export function subscribe<Row = Record<string, unknown>>(
  url: string | URL,
  options: Options<Row> = {},
): Subscription<Row> {
  const { transports = Object.keys(TRANSPORTS) as TransportName[] } = options;
  const ladder = transports.map((name) => [name, TRANSPORTS[name]] as [TransportName, typeof sse]);
  return open(url, options, ladder, options.share ? share : undefined);
}
