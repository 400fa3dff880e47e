/** Server-Sent Events by a streamed `fetch`: unlike an EventSource it can send a token, and see why it was refused. */

import { type Attempt, OPEN_TIMEOUT } from "./drive.js";
import { createParser } from "./parser.js";
import { request } from "./request.js";
import type { Delivery } from "./subscriber.js";

const TYPE = "text/event-stream";

/** Follows a stream until it ends. Gives the code of the relay's `end`. */
export async function sse<Row>(attempt: Attempt<Row>): Promise<string | undefined> {
  const { subscriber } = attempt;
  const { openTimeout = OPEN_TIMEOUT, silenceTimeout = 35_000 } = subscriber.options;
  let patience = openTimeout;
  let code: string | undefined;
  /** Rows that `last` lists of a table with a journal have no cursor until `ready`: whoever is cut off among them begins
   *  anew, and gets them again. So they are kept until then. */
  let held: Delivery<Row>[] = [];
  const events: Delivery<Row>[] = [];
  const flush = () => subscriber.deliver(events.splice(0));

  const parse = createParser(({ type, data, id }) => {
    const content = JSON.parse(data);
    if (!type) held.push([content, id]);
    if (id && type !== "reset") events.push(...held.splice(0));
    if (type) flush();
    if (type === "ready") {
      patience = silenceTimeout;
      attempt.ready(id as string);
    } else if (type === "reset") {
      held = [];
      subscriber.reset(content.code, id);
    } else if (type === "end") code = content.code;
  }, attempt.setRetry);

  const { body, headers } = await attempt.within(patience, request(attempt, TYPE));
  if (!headers.get("content-type")?.startsWith(TYPE)) throw new Error("No events");
  const reader = (body as ReadableStream<Uint8Array>).getReader();
  const decoder = new TextDecoder();
  // Some proxies keep a connection open that the relay has ended.
  while (!code) {
    const { done, value } = await attempt.within(patience, reader.read());
    if (done) throw new Error("No events");
    parse(decoder.decode(value, { stream: true }));
    await flush();
  }
  return code;
}
