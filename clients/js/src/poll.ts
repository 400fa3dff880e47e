/** Long polling and polling: JSON answers, each with the cursor that the next request goes on from. */

import type { Drive } from "./drive.js";
import { request } from "./request.js";
import type { RowEvent } from "./types.js";

/** Events of one answer: as many as the relay gives, since whoever is behind wants to catch up. */
const LIMIT = 1000;
/** Milliseconds that an answer may take beyond what it was asked to wait. */
const GRACE = 10_000;
/** Without news the pause between two polls grows by this factor, up to this many times the first, or this many in a hidden page. */
const GROWTH = 1.5;
const SLOWEST = 4;
const SLOWEST_HIDDEN = 15;

interface Answer<Row> {
  events: RowEvent<Row>[];
  cursor: string;
  more: boolean;
}

/** Follows by requests that wait for news, until it is time to climb. */
export async function longPoll<Row>(drive: Drive<Row>): Promise<string> {
  const { wait = 25 } = drive.subscriber.options;
  // The first one doesn't wait: from its answer on there is a cursor, so that nothing is missed between two.
  for (let seconds: number | undefined; ; seconds = wait) {
    await ask(drive, seconds);
    if (drive.isTimeToClimb) return "climb";
  }
}

/** Follows by looking every few seconds, less often while there is no news or nobody looks, until it is time to climb. */
export async function poll<Row>(drive: Drive<Row>): Promise<string> {
  const { pollInterval = 2000 } = drive.subscriber.options;
  for (let factor = 1; ; ) {
    const { events, more } = await ask(drive);
    if (drive.isTimeToClimb) return "climb";
    if (more) continue;
    factor = events.length ? 1 : Math.min(factor * GROWTH, globalThis.document?.hidden ? SLOWEST_HIDDEN : SLOWEST);
    drive.rest();
    await drive.nap(pollInterval * factor * (1 + Math.random() / 2));
  }
}

/** Catches up, and no more. */
export async function catchUp<Row>(drive: Drive<Row>): Promise<string> {
  while ((await ask(drive)).more);
  return "done";
}

async function ask<Row>(drive: Drive<Row>, wait?: number): Promise<Answer<Row>> {
  const { subscriber } = drive;
  drive.alive((wait ?? 0) * 1000 + GRACE);
  const last = subscriber.cursor ? undefined : (subscriber.options.last ?? 0);
  const response = await request(drive, "application/json", { last, wait, limit: LIMIT });
  const answer: Answer<Row> = await response.json();
  const { events, cursor, more } = answer;
  if (events.length)
    subscriber.deliver(events.map((event, at) => [event, at < events.length - 1 ? undefined : cursor]));
  if (more) subscriber.moveTo(cursor);
  else drive.ready(cursor);
  drive.rest();
  await subscriber.room();
  return answer;
}
