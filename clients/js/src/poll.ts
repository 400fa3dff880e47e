/** Long polling and polling: JSON answers, each with the cursor that the next request goes on from. */

import type { Attempt } from "./drive.js";
import { isHidden } from "./page.js";
import { request } from "./request.js";
import type { RowEvent } from "./types.js";

/** Events of one answer: the most that a relay gives, since whoever is behind wants to catch up. */
const LIMIT = 1000;
/** Milliseconds that an answer may take beyond what it was asked to wait. */
const GRACE = 10_000;
/** Without news the pause between two polls grows by this factor, up to this many times the first, or in a hidden page this many. */
const GROWTH = 1.5;
const SLOWEST = 4;
const SLOWEST_HIDDEN = 15;

/** Milliseconds between two long polls that bring nothing, at least. */
const LEAST = 1000;

interface Answer<Row> {
  events: RowEvent<Row>[];
  cursor: string;
  more: boolean;
}

/** Follows by requests that wait for news, until it is time to climb. */
export async function longPoll<Row>(attempt: Attempt<Row>, isTimeToClimb: () => boolean): Promise<undefined> {
  const { wait = 25 } = attempt.subscriber.options;
  // The first one doesn't wait: from its answer on there is a cursor, so that nothing is missed between two.
  let seconds = 0;
  do {
    const askedAt = Date.now();
    const { events } = await ask(attempt, seconds);
    // Something in between doesn't let it wait.
    if (seconds && !events.length && Date.now() - askedAt < LEAST) await attempt.nap(LEAST);
    seconds = wait;
  } while (!isTimeToClimb());
}

/** Follows by looking every few seconds, less often while there is no news or nobody looks, until it is time to climb. */
export async function poll<Row>(attempt: Attempt<Row>, isTimeToClimb: () => boolean): Promise<undefined> {
  const { pollInterval = 2000 } = attempt.subscriber.options;
  let factor = 1;
  do {
    const { events, more } = await ask(attempt);
    if (more) continue;
    factor = events.length ? 1 : Math.min(factor * GROWTH, isHidden() ? SLOWEST_HIDDEN : SLOWEST);
    await attempt.nap(pollInterval * factor * (1 + Math.random() / 2));
  } while (!isTimeToClimb());
}

/** One request, which waits that many seconds for news; its events are handed in. */
export async function ask<Row>(attempt: Attempt<Row>, wait = 0): Promise<Answer<Row>> {
  const { subscriber } = attempt;
  const answered = request(attempt, "application/json", `&limit=${LIMIT}${wait ? `&wait=${wait}` : ""}`);
  const answer: Answer<Row> = await attempt.within(
    wait * 1000 + GRACE,
    answered.then((response) => response.json()),
  );
  const { events, cursor, more } = answer;
  await subscriber.deliver(events.map((event, at) => [event, events[at + 1] ? undefined : cursor]));
  if (!more) attempt.ready(cursor);
  return answer;
}
