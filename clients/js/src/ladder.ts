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
  /** Whose attempt is the latest. */
  let tried: number;
  let climbs = 0;
  let climbPause = climbAfter || 1;
  let climbAt: number;
  /** Of the transport in use; a climb that fails leads back to them. */
  let strikes = 0;

  const move = (to: number) => {
    level = to;
    // Of the stay there, not of one attempt: those that end too early would put it off for ever.
    climbAt = performance.now() + climbPause;
  };
  move(0);

  return {
    get current() {
      const [name, transport] = rungs[level] as Rung;
      return [
        name,
        async (attempt) => {
          tried = level;
          const code = await transport(attempt, () => level > 0 && performance.now() >= climbAt);
          if (code) return code;
          origin = level;
          // To the next one up and to the best one by turns, since either may be broken for longer.
          move(climbs++ % 2 ? 0 : level - 1);
          return undefined;
        },
      ] satisfies Ladder["current"];
    },
    restart() {
      origin = undefined;
      strikes = 0;
      move(0);
    },
    worked(age) {
      // It was left to climb, and proves nothing about the better one.
      if (tried === origin) return;
      strikes = 0;
      origin = undefined;
      if (age > climbPause) climbPause = climbAfter;
    },
    failed(hasStalled) {
      if (origin !== undefined) {
        climbPause = Math.min(LONGEST_CLIMB_PAUSE, climbPause * 2);
        move(origin);
        origin = undefined;
        return true;
      }
      if (++strikes < STRIKES && !hasStalled) return false;
      strikes = 0;
      // From the lowest back to the best, after a pause: nothing works just now.
      move((level + 1) % rungs.length);
      return level > 0;
    },
  };
}
