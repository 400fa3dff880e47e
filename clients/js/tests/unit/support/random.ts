/** Chance that can be repeated: every random test runs over seeds, and names the one that failed. */

import { vi } from "vitest";

/** Where it is set, only this seed runs: `SEED=17 npm test`. */
const ONLY = process.env.SEED;

export interface Random {
  /** From 0 to 1, without 1. */
  (): number;
  /** A whole number from `low` to `high`, both included. */
  int(low: number, high: number): number;
  pick<T>(choices: readonly [T, ...T[]]): T;
  /** True so often of 1. */
  chance(probability: number): boolean;
  shuffled<T>(values: readonly T[]): T[];
}

/** Mulberry32 (Tommy Ettinger, 2017; public domain): small, and good enough for schedules. */
export function createRandom(seed: number): Random {
  let state = seed;
  const next = () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const int = (low: number, high: number) => low + Math.floor(next() * (high - low + 1));
  return Object.assign(next, {
    int,
    pick: <T>(choices: readonly [T, ...T[]]) => choices[int(0, choices.length - 1)] as T,
    chance: (probability: number) => next() < probability,
    shuffled: <T>(values: readonly T[]) => {
      const rest = [...values];
      return values.map(() => rest.splice(int(0, rest.length - 1), 1)[0] as T);
    },
  });
}

/** Runs `test` with the seeds 1 to `count`, of which `Math.random` is one more series. What it throws names its seed. */
export async function forSeeds(count: number, test: (random: Random, seed: number) => unknown): Promise<void> {
  for (let at = 1; at <= count; at++) {
    const seed = ONLY === undefined ? at : Number(ONLY);
    vi.spyOn(Math, "random").mockImplementation(createRandom(-seed));
    try {
      await test(createRandom(seed), seed);
    } catch (error) {
      if (error instanceof Error) error.message = `SEED=${seed}: ${error.message}`;
      throw error;
    }
    if (ONLY !== undefined) return;
  }
}
