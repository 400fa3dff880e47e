/** A clock that stands still until a test moves it. Between two timers everything that is due happens. */

import { afterEach, beforeEach, vi } from "vitest";

/** Steps without an end in sight: a loop that never waits. */
const MOST_STEPS = 100_000;

/** When tests begin: not at 0, which is no time anybody lives in. */
const BEGIN = Date.UTC(2026, 10, 21);

/** Milliseconds since the test began. */
export const now = (): number => Date.now() - BEGIN;

/** Before each test of the file the clock is stopped. */
export function stopTheClock(): void {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval", "Date", "performance"] });
    vi.setSystemTime(BEGIN);
  });
  afterEach(() => {
    vi.useRealTimers();
  });
}

/** Lets all promises and streams settle, without time going by. */
export async function settle(): Promise<void> {
  // Streams of Node hand over by promises and ticks, all of which run before an immediate does.
  await new Promise<void>((resolve) => setImmediate(resolve));
}

/** Lets that many milliseconds go by, timer by timer. */
export async function pass(milliseconds: number): Promise<void> {
  let isOver = false;
  setTimeout(() => {
    isOver = true;
  }, milliseconds);
  await settle();
  while (!isOver) {
    vi.advanceTimersToNextTimer();
    await settle();
  }
}

/** Lets time go by until `condition` holds; fails where it does not within that many milliseconds. */
export async function until(condition: () => unknown, what: string, milliseconds = 600_000): Promise<void> {
  const deadline = now() + milliseconds;
  await settle();
  for (let step = 0; !condition(); step++) {
    if (!vi.getTimerCount() || now() > deadline || step > MOST_STEPS) throw new Error(`Never: ${what}`);
    vi.advanceTimersToNextTimer();
    await settle();
  }
}
