/** Bodies of the relay in memory: one that comes at once, and a stream; either may break on the way. */

import type { RowEvent } from "../../../src/types.js";
import type { Fault, Relay, Seen } from "./relay.js";

/** A body that ends, stalls or breaks as `fault` says, and errors when the signal aborts, as that of `fetch`. */
abstract class Body {
  readonly response: Response;
  protected isOpen = true;
  #sent = 0;
  #isSilent = false;
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined;

  constructor(
    type: string,
    readonly fault: Fault,
    signal: AbortSignal,
    readonly over: () => void,
  ) {
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => {
        this.#controller = controller;
      },
      cancel: () => this.shut(),
    });
    signal.addEventListener("abort", () => this.shut(() => this.#controller?.error(signal.reason)));
    const { status = 200 } = fault;
    this.response = new Response(body, { status, headers: { "content-type": type, ...fault.headers } });
  }

  /** Sends as much of it as gets through. */
  protected send(bytes: Uint8Array): void {
    const { silentAfter = Number.POSITIVE_INFINITY, cutAfter = Number.POSITIVE_INFINITY } = this.fault;
    if (!this.isOpen || this.#isSilent) return;
    const room = Math.max(0, Math.min(silentAfter, cutAfter) - this.#sent);
    const part = bytes.subarray(0, room);
    this.#sent += part.length;
    if (part.length) this.#controller?.enqueue(part);
    if (this.#sent >= silentAfter) this.#isSilent = true;
    if (this.#sent >= cutAfter) this.#cut();
  }

  /** Closes the connection from the relay's side; a silent one stays as it is. */
  protected close(): void {
    if (!this.#isSilent) this.shut(() => this.#controller?.close());
  }

  #cut(): void {
    const { cut = "error" } = this.fault;
    this.shut(() =>
      cut === "close" ? this.#controller?.close() : this.#controller?.error(new TypeError("terminated")),
    );
  }

  protected shut(how = () => {}): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    how();
    this.over();
  }
}

/** A JSON answer; a problem document where the status is no success. */
export class Json extends Body {
  constructor(content: unknown, fault: Fault, signal: AbortSignal, over: () => void) {
    super("application/json", fault, signal, over);
    this.send(new TextEncoder().encode(typeof content === "string" ? content : JSON.stringify(content)));
    this.close();
  }
}

/** A stream: the replay, `ready`, then what comes. */
export class Stream extends Body {
  readonly #last: number;
  #position = 0;
  #beat: NodeJS.Timeout | undefined;

  constructor(
    readonly relay: Relay,
    { after, last }: Seen,
    fault: Fault,
    signal: AbortSignal,
    over: () => void,
  ) {
    super("text/event-stream; charset=utf-8", fault, signal, over);
    relay.streams.add(this);
    this.#last = Number(last);
    if (relay.heartbeat) this.#beat = setInterval(() => this.#write(": \n\n"), relay.heartbeat);
    this.#write(`retry: ${relay.retry ?? 2000}\n\n`);
    const from = after === null ? undefined : relay.place(after);
    if (typeof from === "string") this.reset(from);
    else this.#replay(from);
  }

  /** Sends what was committed since. */
  follow(): void {
    const { log, epoch } = this.relay;
    let text = "";
    for (; this.#position < log.length; ) {
      const event = log[this.#position++];
      text += `id: ${epoch}.${this.#position}\ndata: ${JSON.stringify(event)}\n\n`;
    }
    if (text) this.#write(text);
  }

  reset(code: string): void {
    const cursor = this.relay.head;
    this.#write(`event: reset\nid: ${cursor}\ndata: ${JSON.stringify({ code, cursor })}\n\n`);
    this.#replay(undefined);
  }

  end(code: string): void {
    this.#write(`event: end\ndata: ${JSON.stringify({ code })}\n\n`);
    this.close();
  }

  #replay(from: number | undefined): void {
    const { log, listed, head } = this.relay;
    if (from === undefined && this.#last && listed) {
      const frame = (event: RowEvent) => this.#write(`data: ${JSON.stringify(event)}\n\n`);
      listed.slice(-this.#last).forEach(frame);
      this.#position = log.length;
    } else {
      this.#position = from ?? Math.max(0, log.length - this.#last);
      this.follow();
    }
    this.#write(`event: ready\nid: ${head}\ndata: ${JSON.stringify({ cursor: head })}\n\n`);
  }

  #write(text: string): void {
    for (const piece of this.relay.chunks(new TextEncoder().encode(text))) this.send(piece);
  }

  protected override shut(how = () => {}): void {
    super.shut(how);
    clearInterval(this.#beat);
    this.relay?.streams.delete(this);
  }
}
