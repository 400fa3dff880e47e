/** Server-Sent Events, by a streamed `fetch`: unlike an EventSource it can send a token, and see why it was refused. */

import type { Drive } from "./drive.js";
import { createParser, type Frame } from "./parser.js";
import { request } from "./request.js";
import type { Delivery } from "./subscriber.js";

/** Follows a stream until it ends. Gives the code of the relay's `end`. */
export async function sse<Row>(drive: Drive<Row>): Promise<string | undefined> {
  const { subscriber } = drive;
  const { last, openTimeout = 5000, silenceTimeout = 40_000 } = subscriber.options;
  let patience = openTimeout;
  let code: string | undefined;
  let events: Delivery<Row>[] = [];
  /** How many of them can be resumed from, or stand before one that can. */
  let safe = 0;

  // Rows that `last` lists of a table with a journal have no cursor until `ready`. They are kept until then: whoever is
  // cut off among them begins anew, and would get them again.
  const flush = (): void => {
    const ripe = events.splice(0, safe);
    safe = 0;
    if (ripe.length) subscriber.deliver(ripe);
  };
  const onFrame = ({ type, data, id }: Frame): void => {
    const content = JSON.parse(data);
    if (!type) {
      events.push([content, id]);
      if (id) safe = events.length;
      return;
    }
    if (type === "ready") {
      safe = events.length;
      patience = silenceTimeout;
    }
    flush();
    if (type === "ready") drive.ready(id);
    else if (type === "reset") {
      events = [];
      subscriber.reset(content.code, id);
    } else if (type === "end") code = content.code;
  };

  drive.alive(patience);
  const response = await request(drive, "text/event-stream", { last: subscriber.cursor ? undefined : last });
  const type = response.headers.get("content-type") ?? "";
  if (!response.body || !type.startsWith("text/event-stream")) throw new Error(`This is no stream but ${type}`);
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  const parse = createParser(onFrame, (milliseconds) => {
    drive.retry = milliseconds;
  });
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return undefined;
    drive.alive(patience);
    parse(decoder.decode(value, { stream: true }));
    flush();
    // Some proxies keep a connection open that the relay has ended.
    if (code) return code;
    if (subscriber.isBehind) {
      drive.rest();
      await subscriber.room();
      drive.alive(patience);
    }
  }
}
