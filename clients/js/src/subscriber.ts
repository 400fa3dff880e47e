/**
 * What a subscription knows and whom it tells: the cursor, the ids that were seen, callbacks and iterations.
 *
 * It knows nothing of requests. Whoever brings events (a connection of this tab, or another tab) hands them in here, and
 * each is handed over once.
 */

import type { Options, Reset, RowEvent, Status, Subscription } from "./types.js";

/** An event, and the cursor after it; none where it can't be resumed from. */
export type Delivery<Row> = [event: RowEvent<Row>, cursor: string | undefined];

/** What was handed in, for a tab that passes it on to the others. */
export type Notice<Row> =
  | { kind: "events"; events: Delivery<Row>[] }
  | { kind: "ready"; cursor: string | undefined }
  | { kind: "reset"; reset: Reset }
  | { kind: "status"; status: Status };

/** Ids that are remembered. Cursors make repeats rare: one that had to be abridged, or another tab that lags behind. */
const WINDOW = 2048;
/** Of these, those that a reload keeps. */
const KEPT = 256;
/** Events that wait for an iteration before no more are read. */
const QUEUE = 512;

export class Subscriber<Row> {
  cursor: string | undefined;
  status: Status;
  /** Whether it was caught up since it began, or since the last reset. */
  synced = false;
  onNotice: ((notice: Notice<Row>) => void) | undefined;
  readonly subscription: Subscription<Row>;
  readonly #ended = new AbortController();
  /** Aborts when the subscription is over. */
  readonly signal = this.#ended.signal;
  readonly #storageKey: string | undefined;
  #seen = new Set<number>();
  /** Of an iteration: what waits, the cursor of what was taken, and who waits for either to change. */
  #queue: Delivery<Row>[] | undefined;
  #taken: string | undefined;
  #changed: Promise<void> | undefined;
  #change: (() => void) | undefined;

  constructor(
    readonly url: string,
    readonly options: Options<Row>,
  ) {
    const { after, persist, signal } = options;
    this.status = { state: "connecting", transport: options.transports?.[0] ?? "sse" };
    this.cursor = after;
    this.#storageKey = persist ? (persist === true ? `rowcast:${url}` : persist) : undefined;
    this.#restore();
    this.#taken = this.cursor;
    this.subscription = this.#face();
    if (signal?.aborted) this.close();
    signal?.addEventListener("abort", () => this.close(), { signal: this.signal });
  }

  /** Hands over those that were not seen yet. */
  deliver(events: Delivery<Row>[]): void {
    this.#notice({ kind: "events", events });
    for (const [event, cursor] of events) {
      if (this.signal.aborted) return;
      if (cursor) this.cursor = cursor;
      if (this.#isRepeat(event.id)) continue;
      this.#queue?.push([event, cursor]);
      this.#call(this.subscription.onEvent, event);
    }
    this.#save();
    this.#wake();
  }

  /** Nothing is missing up to `cursor`. */
  ready(cursor: string | undefined): void {
    this.moveTo(cursor);
    this.#notice({ kind: "ready", cursor });
    this.synced = true;
  }

  /** All up to `cursor` was handed in. */
  moveTo(cursor: string | undefined): void {
    this.cursor = cursor;
    if (!this.#queue?.length) this.#taken = cursor;
    this.#save();
  }

  /** What follows begins afresh: with the newest where those are wanted, else behind `cursor`. */
  reset(code: string, cursor?: string): void {
    const goesOn = this.options.last ? undefined : cursor;
    const reset: Reset = goesOn ? { code, cursor: goesOn } : { code };
    this.#notice({ kind: "reset", reset });
    this.synced = false;
    this.#seen.clear();
    this.moveTo(goesOn);
    this.#call(this.subscription.onReset, reset);
  }

  report(status: Status): void {
    if (this.status.state === "closed") return;
    this.status = status;
    this.#notice({ kind: "status", status });
    this.#call(this.subscription.onStatus, status);
  }

  /** Ends it, where given for an error. */
  close(error?: unknown): void {
    this.report({ state: "closed", transport: this.status.transport, ...(error ? { error } : {}) });
    this.#ended.abort();
    this.#wake();
  }

  /** Whether an iteration lags so far behind that no more should be read. */
  get isBehind(): boolean {
    return (this.#queue?.length ?? 0) >= QUEUE && !this.signal.aborted;
  }

  /** Waits while it is behind. */
  async room(): Promise<void> {
    while (this.isBehind) await this.#nextChange();
  }

  #isRepeat(id: number | null): boolean {
    // A larger one has lost digits: two that differ may look the same.
    if (id === null || !Number.isSafeInteger(id)) return false;
    if (this.#seen.has(id)) return true;
    this.#seen.add(id);
    if (this.#seen.size > WINDOW) this.#seen.delete(this.#seen.values().next().value as number);
    return false;
  }

  #notice(notice: Notice<Row>): void {
    this.onNotice?.(notice);
  }

  /** An error of a callback is its owner's: it shows where uncaught errors do, and nobody else stumbles over it. */
  #call<T>(callback: ((value: T) => void) | undefined, value: T): void {
    try {
      callback?.(value);
    } catch (error) {
      queueMicrotask(() => {
        throw error;
      });
    }
  }

  #nextChange(): Promise<void> {
    this.#changed ??= new Promise((resolve) => {
      this.#change = resolve;
    });
    return this.#changed;
  }

  #wake(): void {
    this.#change?.();
    this.#changed = this.#change = undefined;
  }

  /** The next event of an iteration: what waits is still given after the end, then the error that ended it. */
  async #next(): Promise<IteratorResult<RowEvent<Row>, undefined>> {
    this.#queue ??= [];
    for (;;) {
      const delivery = this.#queue.shift();
      if (delivery) {
        this.#taken = delivery[1] ?? this.#taken;
        if (!this.#queue.length) this.#taken = this.cursor;
        this.#save();
        this.#wake();
        return { value: delivery[0], done: false };
      }
      if (this.signal.aborted) {
        const { error } = this.status;
        this.status = { ...this.status, error: undefined };
        if (error) throw error;
        return { value: undefined, done: true };
      }
      await this.#nextChange();
    }
  }

  #restore(): void {
    try {
      const kept = this.#storageKey && sessionStorage.getItem(this.#storageKey);
      if (!kept) return;
      const [cursor, ids] = JSON.parse(kept) as [string, number[]];
      this.cursor = cursor;
      this.#seen = new Set(ids);
    } catch {
      // No storage here, or not ours: it begins as without.
    }
  }

  #save(): void {
    if (!this.#storageKey) return;
    try {
      const cursor = this.#queue ? this.#taken : this.cursor;
      if (cursor) sessionStorage.setItem(this.#storageKey, JSON.stringify([cursor, [...this.#seen].slice(-KEPT)]));
      else sessionStorage.removeItem(this.#storageKey);
    } catch {
      // Forbidden, or full: a reload begins anew.
    }
  }

  #face(): Subscription<Row> {
    const subscriber = this;
    const { onEvent, onReset, onStatus } = this.options;
    return {
      onEvent,
      onReset,
      onStatus,
      get cursor() {
        return subscriber.#queue ? subscriber.#taken : subscriber.cursor;
      },
      get status() {
        return subscriber.status;
      },
      close: () => this.close(),
      next: () => this.#next(),
      return: async () => {
        this.close();
        return { value: undefined, done: true };
      },
      [Symbol.asyncIterator]() {
        subscriber.#queue ??= [];
        return this;
      },
    };
  }
}
