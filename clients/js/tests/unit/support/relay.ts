/**
 * A relay in memory, given to the client as its `fetch`: a log of rows, cursors, `last`, `wait`, `limit`, resets.
 *
 * A cursor is `EPOCH.POSITION`, the number of rows before it. What goes wrong on the way is the business of `fault`, which
 * a test sets, and which is asked at each request.
 */

import type { RowEvent, TransportName } from "../../../src/types.js";
import { Json, Stream } from "./answers.js";
import { now } from "./clock.js";

/** A request as it came. */
export interface Seen {
  transport: TransportName;
  url: URL;
  headers: Headers;
  /** When, in ms of the test. */
  at: number;
  after: string | null;
  last: string | null;
  wait: string | null;
  init: RequestInit;
}

/** What is to go wrong with an answer; nothing where it is empty. */
export interface Fault {
  /** Milliseconds before there is any answer. */
  delay?: number;
  /** Milliseconds that a JSON answer is under way: what is committed meanwhile is not in it. */
  lag?: number;
  /** Never an answer. */
  stall?: boolean;
  /** The network's failure. */
  reject?: boolean;
  /** Another answer than the relay's. */
  status?: number;
  headers?: Record<string, string>;
  body?: unknown;
  /** Only the head comes, and so many bytes of the body. */
  silentAfter?: number;
  /** The body is cut behind so many bytes: "close" as if it were over, "error" as by a reset connection. */
  cutAfter?: number;
  cut?: "close" | "error";
}

export class Relay {
  readonly requests: Seen[] = [];
  log: RowEvent[] = [];
  epoch = 1;
  /** Rows of a table with a journal: `last` lists them as they stand, without an id. */
  listed: RowEvent[] | undefined;
  /** Milliseconds between two heartbeats of a stream; 0 is none. */
  heartbeat = 15_000;
  retry: number | undefined;
  /** Requests that are not over. */
  inFlight = 0;
  mostInFlight = 0;
  fault: (seen: Seen) => Fault | undefined = () => undefined;
  /** Cuts what a stream sends into pieces. */
  chunks: (bytes: Uint8Array) => Uint8Array[] = (bytes) => [bytes];
  readonly streams = new Set<Stream>();
  readonly #waiting = new Set<() => void>();

  get head(): string {
    return `${this.epoch}.${this.log.length}`;
  }

  /** The transports of all requests, in their order. */
  get transports(): TransportName[] {
    return this.requests.map(({ transport }) => transport);
  }

  get latest(): Seen {
    const latest = this.requests.at(-1);
    if (!latest) throw new Error("No request came");
    return latest;
  }

  /** Commits rows with the next ids, or with these. */
  write(count = 1, ids?: (number | null)[]): void {
    for (let n = 0; n < count; n++) {
      const id = ids ? (ids[n] as number) : this.log.length + 1;
      this.log.push({ op: "insert", id, room: "42", row: { id, body: `row ${id} é` } });
    }
    for (const stream of this.streams) stream.follow();
    for (const wake of [...this.#waiting]) wake();
  }

  /** Empties the table, as TRUNCATE … RESTART IDENTITY. */
  truncate(): void {
    this.epoch++;
    this.log = [];
    for (const stream of this.streams) stream.reset("truncated");
    for (const wake of [...this.#waiting]) wake();
  }

  /** Ends all streams as a relay that shuts down. */
  end(code: string): void {
    for (const stream of this.streams) stream.end(code);
  }

  /** Where a cursor stands, or why it can't be resumed from. */
  place(cursor: string): number | "invalid_cursor" | "epoch" | "cursor_ahead" {
    const [, epoch, position] = /^(\d+)\.(\d+)$/.exec(cursor) ?? [];
    if (!epoch) return "invalid_cursor";
    if (Number(epoch) !== this.epoch) return "epoch";
    return Number(position) > this.log.length ? "cursor_ahead" : Number(position);
  }

  readonly fetch = (async (input: string | URL, init: RequestInit = {}) => {
    const asked = init.signal as AbortSignal;
    asked.throwIfAborted();
    // The client's signal may serve many requests: one listener of it, gone when the request is over.
    const { signal, end } = this.#begin(asked);
    const url = new URL(input);
    const headers = new Headers(init.headers);
    const parameter = (name: string) => url.searchParams.get(name);
    const isStream = headers.get("accept") === "text/event-stream";
    const wait = parameter("wait");
    const seen: Seen = {
      transport: isStream ? "sse" : wait ? "long-poll" : "poll",
      url,
      headers,
      at: now(),
      after: parameter("after"),
      last: parameter("last"),
      wait,
      init,
    };
    this.requests.push(seen);
    try {
      const fault = this.fault(seen) ?? {};
      if (fault.delay) await aborted(signal, new Promise((resolve) => setTimeout(resolve, fault.delay)));
      if (fault.stall) await aborted(signal, new Promise(() => {}));
      if (fault.reject) throw new TypeError("fetch failed");
      if (fault.status || fault.headers) return new Json(fault.body ?? "", fault, signal, end).response;
      const isInvalid = seen.after !== null && this.place(seen.after) === "invalid_cursor";
      if (isStream && !isInvalid) return new Stream(this, seen, fault, signal, end).response;
      return await this.#answer(seen, fault, signal, end);
    } catch (error) {
      end();
      throw error;
    }
  }) as typeof fetch;

  async #answer({ after, last, wait, url }: Seen, fault: Fault, signal: AbortSignal, end: () => void) {
    const limit = Number(url.searchParams.get("limit") ?? 100);
    const problem = (status: number, code: string, cursor?: string) =>
      new Json({ code, detail: `It is ${code}`, cursor }, { ...fault, status }, signal, end).response;
    const from = after === null ? this.log.length - Math.min(Number(last), this.log.length) : this.place(after);
    if (from === "invalid_cursor") return problem(400, from);
    if (typeof from === "string") return problem(409, from, this.head);
    const isAtEnd = after !== null && from === this.log.length;
    if (wait && isAtEnd) await aborted(signal, this.#news(Number(wait) * 1000));
    if (after !== null && this.place(after) !== from) return problem(409, "truncated", this.head);
    const listed = after === null && this.listed;
    const events = listed ? listed.slice(-Number(last) || listed.length) : this.log.slice(from, from + limit);
    const to = listed ? this.log.length : from + events.length;
    const answer = { events, cursor: `${this.epoch}.${to}`, more: to < this.log.length };
    if (fault.lag) await aborted(signal, new Promise((resolve) => setTimeout(resolve, fault.lag)));
    return new Json(answer, fault, signal, end).response;
  }

  #begin(asked: AbortSignal): { signal: AbortSignal; end: () => void } {
    const own = new AbortController();
    const over = new AbortController();
    this.mostInFlight = Math.max(this.mostInFlight, ++this.inFlight);
    const end = () => {
      if (!over.signal.aborted) this.inFlight--;
      over.abort();
    };
    const abort = () => {
      end();
      own.abort(asked.reason);
    };
    asked.addEventListener("abort", abort, { signal: over.signal });
    return { signal: own.signal, end };
  }

  #news(milliseconds: number): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        clearTimeout(timer);
        this.#waiting.delete(wake);
        resolve();
      };
      const timer = setTimeout(wake, milliseconds);
      this.#waiting.add(wake);
    });
  }
}

/** `work`, or the signal's reason as soon as it aborts: as `fetch` does. */
function aborted<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason));
    work.then(resolve, reject);
  });
}
