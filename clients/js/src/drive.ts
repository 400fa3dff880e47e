/** The connection's life: one attempt after the other, with pauses between them, until it is over. */

import { RowcastError } from "./error.js";
import { isHidden, listen } from "./page.js";
import type { Subscriber } from "./subscriber.js";
import type { Status, TransportName } from "./types.js";

/** What a transport has to work with in one attempt. */
export interface Attempt<Row> {
  readonly subscriber: Subscriber<Row>;
  readonly token: string | undefined;
  /** Aborts when the attempt is over. */
  readonly signal: AbortSignal;
  /** Waits for `work` of the relay's. Where it takes longer than that many ms the attempt has stalled. */
  within<T>(milliseconds: number, work: Promise<T>): Promise<T>;
  /** Waits that many ms, but not where there is a reason to look at once. */
  nap(milliseconds: number): Promise<void>;
  /** Caught up; what comes from here on is news. */
  ready(cursor: string): void;
  /** The relay's `retry`, in ms. */
  setRetry(milliseconds: number): void;
}

/** Brings events until the connection ends. Gives the code of the relay's `end`; none where it is to go on at once. */
export type Transport = <Row>(attempt: Attempt<Row>) => Promise<string | undefined>;

/** Which transport an attempt uses. What is optional makes no difference where there is only one. */
export interface Ladder {
  readonly current: [name: TransportName, transport: Transport];
  /** The network is another one: back to the best. */
  restart?(): void;
  /** The attempt worked until it ended: for so many ms something was heard. Where it failed then, `failed` follows. */
  worked?(age: number): void;
  /** The attempt failed. Gives whether another transport is to be tried at once. */
  failed?(hasStalled: boolean): boolean;
}

/** Milliseconds before the second attempt, at most, until the relay says its `retry`. */
const FIRST_PAUSE = 1000;
const LONGEST_PAUSE = 30_000;
/** Milliseconds within which a stream must open. */
export const OPEN_TIMEOUT = 5000;

/** Answers after which asking again would change nothing. */
const FINAL = /^40[0134]$/;

/** Why attempts are aborted: the relay's silence, which counts as a failure, or another network, which does not. */
const STALLED = new Error("No events");
const RESTARTED = 0;

/** Follows until `signal` ends it, or the relay's answer is final: that closes the subscriber. `report` hears how it goes. */
export async function drive<Row>(
  subscriber: Subscriber<Row>,
  ladder: Ladder,
  signal: AbortSignal,
  report: (status: Status) => void,
): Promise<void> {
  const { token } = subscriber.options;
  const renew = typeof token === "function" && token;
  let controller: AbortController;
  let failures = 0;
  let retry = FIRST_PAUSE;
  let bearer: string | undefined;
  /** Whether the token was just renewed, so that its refusal is final. */
  let isFresh = false;
  let wake = () => {};

  const say = (state: Status["state"], more?: Partial<Status>) =>
    report({ state, transport: ladder.current[0], ...more });

  const nap = (milliseconds: number) =>
    new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      wake = () => {
        clearTimeout(timer);
        resolve();
      };
      if (signal.aborted) wake();
    });

  /** Full jitter: Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015. */
  const pause = (error?: unknown, least = 0) => {
    const retryInMs = least + Math.random() * Math.min(LONGEST_PAUSE, (retry * 2 ** failures) / 2);
    say("waiting", { retryInMs, error });
    return nap(retryInMs);
  };

  /** Does what a failure calls for, its pause included. */
  const recover = async (error: unknown, hasStalled: boolean) => {
    const { status, code, cursor, retryAfterMs } = (error instanceof RowcastError ? error : {}) as RowcastError;
    if (status === 401 && renew && !isFresh) {
      isFresh = true;
      bearer = undefined;
      return;
    }
    isFresh = false;
    failures++;
    if (status === 409 || status === 410 || code === "invalid_cursor") {
      // What failed before has nothing to do with it.
      failures = 0;
      subscriber.reset(code, cursor);
    } else if (FINAL.test(status as unknown as string)) {
      return subscriber.close(error);
    } else if (ladder.failed?.(hasStalled) && !retryAfterMs) return;
    await pause(error, retryAfterMs);
  };

  /** One attempt, and what follows from it. */
  const attempt = async () => {
    controller = new AbortController();
    const { signal: ended } = controller;
    let readyAt = 0;
    /** How long after that something was heard, in ms. */
    let heardAfter = 0;
    let code: string | undefined;
    let error: unknown;
    say("connecting");
    try {
      bearer ??= renew ? await renew() : (token as string | undefined);
      code = await ladder.current[1]({
        subscriber,
        token: bearer,
        signal: ended,
        async within(milliseconds, work) {
          const timer = setTimeout(() => controller.abort(STALLED), milliseconds);
          const value = await work.finally(() => clearTimeout(timer));
          heardAfter = readyAt && Date.now() - readyAt;
          return value;
        },
        nap,
        ready(cursor) {
          // Closed, or stopped, while the last events were handed over: they may not all have been.
          if (ended.aborted) return;
          subscriber.ready(cursor);
          if (readyAt) return;
          readyAt = Date.now();
          isFresh = false;
          say("ready");
        },
        setRetry: (milliseconds) => {
          retry = milliseconds || FIRST_PAUSE;
        },
      });
    } catch (thrown) {
      // Somebody may throw nothing.
      error = ended.reason ?? (thrown || STALLED);
    }
    controller.abort();
    // What is cut as soon as it is ready, or brings nothing after that, does not work: every transport has a first answer.
    if (code || heardAfter > OPEN_TIMEOUT) {
      failures = 0;
      ladder.worked?.(heardAfter);
    }
    if (signal.aborted) return;
    if (error) await recover(error, error === STALLED && !heardAfter);
    if (code === "token_expired") bearer = undefined;
    if (code) await pause();
  };

  listen("visibilitychange", () => isHidden() || wake(), signal);
  // Another network has other proxies, and leaves the connections of the one before hanging. Offline means a network that
  // is gone, not that nothing can be reached: a relay on this machine still can.
  const restart = () => {
    failures = 0;
    ladder.restart?.();
    controller.abort(RESTARTED);
    wake();
  };
  listen("online", restart, signal);
  listen("offline", restart, signal);
  signal.addEventListener("abort", () => {
    controller.abort();
    wake();
  });
  while (!signal.aborted) await attempt();
}
