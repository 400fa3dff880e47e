/** The client with Server-Sent Events alone, for those who count every byte: `import { subscribe } from "rowcast/sse"`. */

import { open } from "./open.js";
import { sse } from "./stream.js";
import type { Options, Subscription } from "./types.js";

export { RowcastError } from "./error.js";
export type * from "./types.js";

/** As `subscribe` of `rowcast`, without the transports to fall back on, and without `share`. */
export function subscribe<Row = Record<string, unknown>>(
  url: string | URL,
  options: Omit<Options<Row>, "transports" | "share" | "wait" | "pollInterval" | "climbAfter"> = {},
): Subscription<Row> {
  return open(url, options, [["sse", sse]]);
}
