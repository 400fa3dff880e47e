/** Where the parts meet: a subscriber, and what brings it events. */

import { Drive, type Ladder } from "./drive.js";
import { Subscriber } from "./subscriber.js";
import type { Options, Subscription } from "./types.js";

/** Opens a subscription over `ladder`, by a connection of its own or as `share` has it. */
export function open<Row>(
  url: string | URL,
  options: Options<Row>,
  ladder: Ladder,
  share?: <Row>(subscriber: Subscriber<Row>, ladder: Ladder) => void,
): Subscription<Row> {
  const subscriber = new Subscriber(new URL(url, globalThis.location?.href).href, options);
  // Not before the caller had the time to set callbacks.
  queueMicrotask(() => {
    if (share) share(subscriber, ladder);
    else new Drive(subscriber, ladder, (status) => subscriber.report(status)).run(subscriber.signal);
  });
  return subscriber.subscription;
}
