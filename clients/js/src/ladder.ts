/**
 * The transports, best first: how one falls from one to the next, and climbs back.
 *
 * ```text
 *        stalled, or failed twice                stalled, or failed twice
 *  sse ───────────────────────────► long-poll ───────────────────────────► poll ──► sse …
 *   ▲                                  │ ▲                                  │
 *   ├───────── after climbAfter ───────┘ └───────── after climbAfter ───────┤
 *   └──────────────────────────────────────────────── the time after that ──┘
 * ```
 */

import type { Attempt, Ladder } from "./drive.js";
import type { TransportName } from "./types.js";

const LONGEST_CLIMB_PAUSE = 600_000;
/** Failures in a row that make a transport a bad one: one may be chance. */
const STRIKES = 2;

/** As a transport, and asks whether to look for a better one; where it is told so, it returns nothing. */
export type Rung = [
  name: TransportName,
  transport: <Row>(attempt: Attempt<Row>, isTimeToClimb: () => boolean) => Promise<string | undefined>,
];

/** A ladder that looks for a better transport after `climbAfter` ms, and after twice the time whenever that failed. */
export function createLadder(rungs: Rung[], climbAfter = 30_000): Ladder {
  let level = 0;
  /** Where a climb came from, until the better transport has proved itself. */
  let origin: number | undefined;
  let climbs = 0;
  let climbPause = climbAfter;
  let strikes = 0;

  return {
    get current() {
      const [name, transport] = rungs[level] as Rung;
      const climbAt = Date.now() + climbPause;
      return [
        name,
        async (attempt) => {
          const code = await transport(attempt, () => level > 0 && Date.now() >= climbAt);
          if (code) return code;
          origin = level;
          // To the next one up and to the best one by turns, since either may be broken for longer.
          level = climbs++ % 2 ? 0 : level - 1;
          return undefined;
        },
      ] satisfies Ladder["current"];
    },
    restart() {
      level = strikes = 0;
      origin = undefined;
    },
    worked(age) {
      if (age) strikes = 0;
      else origin = undefined;
      if (age > climbPause) climbPause = climbAfter;
    },
    failed(hasStalled) {
      if (origin !== undefined) {
        level = origin;
        origin = undefined;
        climbPause = Math.min(LONGEST_CLIMB_PAUSE, climbPause * 2);
        return true;
      }
      if (++strikes < STRIKES && !hasStalled) return false;
      strikes = 0;
      // From the lowest back to the best: nothing works just now.
      level = (level + 1) % rungs.length;
      return hasStalled && level > 0;
    },
  };
}
