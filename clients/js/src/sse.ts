/** The client with Server-Sent Events alone, for those who count every byte: `import { subscribe } from "rowcast/sse"`. */

import { drive } from "./drive.js";
import { sse } from "./stream.js";
import { createSubscriber, type Face } from "./subscriber.js";
import type { Options } from "./types.js";

export { RowcastError } from "./error.js";
export type * from "./types.js";

/** As `subscribe` of `rowcast`, but without transports to fall back on, iteration, `persist` and `share`. */
export function subscribe<Row = Record<string, unknown>>(
  url: string | URL,
  options: Omit<Options<Row>, "transports" | "persist" | "share" | "wait" | "pollInterval" | "climbAfter"> = {},
): Face<Row> {
  const subscriber = createSubscriber(url, options);
  // Not before the caller had the time to set callbacks.
  queueMicrotask(() => drive(subscriber, { current: ["sse", sse] }, subscriber.signal, subscriber.report));
  return subscriber.face;
}
