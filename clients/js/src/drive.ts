/**
 * The connection's life: attempts by the best transport that works, pauses between them, and the way back up.
 *
 * ```text
 *        stalled, or failed twice                stalled, or failed twice
 *  sse ───────────────────────────► long-poll ───────────────────────────► poll ──► sse …
 *   ▲                                  │ ▲                                  │
 *   ├───────── after climbAfter ───────┘ └───────── after climbAfter ───────┤
 *   └──────────────────────────────────────────────── the time after that ──┘
 * ```
 */

import { RowcastError } from "./error.js";
import type { Subscriber } from "./subscriber.js";
import type { Status, TransportName } from "./types.js";

/**
 * Brings events until the connection ends (gives the code of the relay's `end`, if it said one), until it is time to
 * `climb`, or the work is `done`.
 */
export type Transport = <Row>(drive: Drive<Row>) => Promise<string | undefined>;

/** Transports, best first. */
export type Ladder = [name: TransportName, transport: Transport][];

/** Milliseconds before the second attempt, at most, until the relay says its `retry`. */
const FIRST_PAUSE = 1000;
const LONGEST_PAUSE = 30_000;
const LONGEST_CLIMB_PAUSE = 600_000;
/** Failures in a row that make a transport a bad one: one may be chance. */
const STRIKES = 2;

const STALLED = new Error("Nothing came in time.");
const CUT = new Error("The stream was cut.");
const RESTARTED = new Error("The network is another one.");

/** Answers after which asking again would change nothing. */
const FINAL = [400, 401, 403, 404];
/** Refusals that say nothing about the transport: a time-out, too early, too many. */
const PASSING = [408, 425, 429];

export class Drive<Row> {
  /** The headers of requests, the token's among them. */
  headers: Record<string, string> = {};
  /** The relay's `retry`, in ms. */
  retry = FIRST_PAUSE;
  #level = 0;
  /** The level that a climb left, until the better transport has proved itself. */
  #origin: number | undefined;
  #climbs = 0;
  #climbPause: number;
  #climbAt = 0;
  /** Failures in a row: of all attempts, and of this transport. */
  #failures = 0;
  #strikes = 0;
  /** Of this attempt: when it was ready, and whether anything came after that. */
  #readyAt = 0;
  #heard = false;
  #token: string | undefined;
  #renewed = false;
  #attempt = new AbortController();
  #deadline: ReturnType<typeof setTimeout> | undefined;
  #wake: (() => void) | undefined;

  /** `report` hears how it goes. */
  constructor(
    readonly subscriber: Subscriber<Row>,
    readonly ladder: Ladder,
    readonly report: (status: Status) => void,
  ) {
    this.#climbPause = this.#firstClimbPause;
  }

  /** Aborts when the attempt under way is over. */
  get signal(): AbortSignal {
    return this.#attempt.signal;
  }

  /** Whether to look now whether a better transport works again. */
  get isTimeToClimb(): boolean {
    return this.#level > 0 && Date.now() >= this.#climbAt;
  }

  get #firstClimbPause(): number {
    return this.subscriber.options.climbAfter ?? 30_000;
  }

  /** Something has come: the next must come within that many ms, or the attempt has stalled. */
  alive(milliseconds: number): void {
    const attempt = this.#attempt;
    this.#heard = this.#readyAt > 0;
    clearTimeout(this.#deadline);
    this.#deadline = setTimeout(() => attempt.abort(STALLED), milliseconds);
  }

  /** Nothing is expected until the next `alive`. */
  rest(): void {
    clearTimeout(this.#deadline);
  }

  /** Waits, though not beyond the end of the attempt, nor where there is a reason to look at once. */
  nap(milliseconds: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  /** Caught up; what comes from here on is news. */
  ready(cursor: string | undefined): void {
    if (!this.#readyAt) {
      this.#readyAt = Date.now();
      this.#renewed = false;
      this.#origin = undefined;
      this.#say({ state: "ready" });
    }
    this.subscriber.ready(cursor);
  }

  /** Follows until `signal` ends it, a transport is done, or the relay's answer is final: that closes the subscriber. */
  async run(signal: AbortSignal): Promise<void> {
    const over = new AbortController();
    const on = (target: EventTarget | undefined, type: string, listener: () => void) =>
      target?.addEventListener?.(type, listener, { signal: over.signal });
    on(signal, "abort", () => {
      this.#attempt.abort();
      this.#wake?.();
    });
    // Another network has other proxies, and lets the connections of the one before hang.
    on(globalThis, "online", () => {
      this.#forgive();
      this.#level = 0;
      this.#attempt.abort(RESTARTED);
      this.#wake?.();
    });
    on(globalThis.document, "visibilitychange", () => document.hidden || this.#wake?.());
    while (!signal.aborted) {
      const pause = await this.#try(signal);
      if (pause === undefined) break;
      if (pause && !signal.aborted) await this.nap(pause);
    }
    over.abort();
  }

  /** One attempt. Gives the pause until the next one, in ms; undefined where there is none. */
  async #try(signal: AbortSignal): Promise<number | undefined> {
    this.#attempt = new AbortController();
    this.#readyAt = 0;
    this.#heard = false;
    this.#climbAt = Date.now() + this.#climbPause;
    this.#say({ state: "connecting" });
    let code: string | undefined;
    let error: unknown = CUT;
    try {
      await this.#authorize();
      code = await this.ladder[this.#level]?.[1](this);
    } catch (thrown) {
      error = thrown;
    }
    this.rest();
    const { reason } = this.signal;
    this.#attempt.abort();
    if (signal.aborted || code === "done") return undefined;
    if (reason === RESTARTED) return 0;
    if (code === "climb") {
      this.#forgive();
      this.#origin = this.#level;
      // The next one up and the best one by turns, since either may be broken for longer.
      this.#level = this.#climbs++ % 2 ? 0 : this.#level - 1;
      return 0;
    }
    const age = this.#readyAt && Date.now() - this.#readyAt;
    if (age > this.#climbPause) this.#climbPause = this.#firstClimbPause;
    // A stream that is cut as soon as it is ready does not count as one that works.
    if (code || age >= (this.subscriber.options.openTimeout ?? 5000)) this.#forgive();
    if (!code) return this.#fail(reason === STALLED ? STALLED : error);
    if (code === "token_expired") this.#token = undefined;
    return this.#wait(this.#jitter());
  }

  /** What a failure means for the next attempt. Gives the pause until then, in ms; undefined where there is none. */
  #fail(error: unknown): number | undefined {
    const answer = error instanceof RowcastError ? error : undefined;
    const status = answer?.status ?? 0;
    if (status === 401 && typeof this.subscriber.options.token === "function" && !this.#renewed) {
      this.#renewed = true;
      this.#token = undefined;
      return 0;
    }
    this.#failures++;
    if (status === 409 || status === 410 || answer?.code === "invalid_cursor") {
      this.subscriber.reset(answer?.code as string, answer?.cursor);
      return this.#failures > 1 ? this.#wait(this.#jitter(), error) : 0;
    }
    const lowest = this.#level === this.ladder.length - 1;
    const refused = status >= 400 && status < 500 && !PASSING.includes(status);
    if (FINAL.includes(status) || (refused && lowest)) {
      this.subscriber.close(error);
      return undefined;
    }
    if (answer?.retryAfterMs !== undefined) return this.#wait(answer.retryAfterMs + this.#jitter(), error);
    if (this.#origin !== undefined) {
      this.#level = this.#origin;
      this.#origin = undefined;
      this.#climbPause = Math.min(LONGEST_CLIMB_PAUSE, this.#climbPause * 2);
      return 0;
    }
    const stalled = error === STALLED && !this.#heard;
    if (++this.#strikes >= STRIKES || refused || stalled) {
      this.#strikes = 0;
      this.#level = lowest ? 0 : this.#level + 1;
      if ((stalled || refused) && !lowest) return 0;
    }
    return this.#wait(this.#jitter(), error);
  }

  #forgive(): void {
    this.#failures = this.#strikes = 0;
  }

  /** Full jitter: Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015. */
  #jitter(): number {
    return Math.random() * Math.min(LONGEST_PAUSE, this.retry * 2 ** Math.max(0, this.#failures - 1));
  }

  #wait(milliseconds: number, error?: unknown): number {
    this.#say({ state: "waiting", retryInMs: milliseconds, ...(error ? { error } : {}) });
    return milliseconds;
  }

  #say(status: Omit<Status, "transport">): void {
    this.report({ ...status, transport: (this.ladder[this.#level] as Ladder[number])[0] });
  }

  async #authorize(): Promise<void> {
    const { token, headers } = this.subscriber.options;
    this.#token ??= typeof token === "function" ? await token() : token;
    this.headers = { ...headers, ...(this.#token ? { authorization: `Bearer ${this.#token}` } : {}) };
  }
}
