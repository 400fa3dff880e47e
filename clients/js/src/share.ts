/**
 * One connection for all tabs of an origin that follow the same URL.
 *
 * A lock (Web Locks) makes one tab the leader: it holds the connection and passes on what comes (BroadcastChannel). When
 * it closes, the browser gives the lock to the next tab, which goes on from the cursor that it has itself.
 *
 * Every tab stands on its own cursor, so none need trust that it heard everything:
 *
 * - One that joins listens first, and then catches up by polls of its own: they show all that was committed before, and
 *   so all that the leader passed on before.
 * - What the leader gets until it is caught up is not passed on, after each break anew: others may have begun later than
 *   where it goes on. It then announces its cursor; who stands at another one catches up again, and hears what follows.
 * - What comes both ways is handed over once, by its id.
 */

import { drive, type Ladder, type Transport } from "./drive.js";
import { isHidden, listen } from "./page.js";
import { ask } from "./poll.js";
import type { Delivery, Subscriber } from "./subscriber.js";
import type { Status } from "./types.js";

/** What tabs tell each other: the leader to all, but for `join`. */
interface Message<Row> {
  /** A tab that follows now wants to know how things are. */
  join?: true;
  status?: Status;
  /** Beside a status: whether the leader is hidden. Timers of hidden tabs are slow. */
  hidden?: boolean | undefined;
  events?: Delivery<Row>[];
  /** All up to this cursor was passed on. */
  cursor?: string | undefined;
  /** Beside a cursor: the leader came there by itself. */
  anew?: boolean;
  /** Of a reset. */
  code?: string;
}

/** Events that are kept while catching up; beyond that it is done once more. */
const MOST_HEARD = 1000;

/** Leads, or follows until it may lead, until the subscription ends. Needs Web Locks, and BroadcastChannel, which is older. */
export async function share<Row>(subscriber: Subscriber<Row>, newLadder: () => Ladder): Promise<void> {
  const { url, signal, face, deliver, ready, reset, report } = subscriber;
  if (signal.aborted) return;
  const name = `rowcast:${url}`;
  const channel = new BroadcastChannel(name);
  /** Whether this tab leads, and whether the others know where it stands. */
  let leads = false;
  let isAnnounced = false;
  /** End what this tab does: waiting for the lock, and catching up or leading. */
  let waiting: AbortController | undefined;
  let working: AbortController | undefined;
  let mustCatchUp = false;
  /** Whether it heard where the leader stands, and so what it says makes sense. */
  let isInStep = false;
  /** What is passed on while it catches up. */
  let heard: Delivery<Row>[] = [];
  let leader: Message<Row> & { status: Status } = { status: face.status };

  const say = (message: Message<Row>) => leads && channel.postMessage(message);
  // An error may be something that can't be cloned.
  const sayStatus = () => say({ status: { ...face.status, error: undefined }, hidden: isHidden() });

  // What the connection hands in here goes to the other tabs, too.
  subscriber.deliver = (events) => {
    if (isAnnounced && events.length) say({ events });
    // Not as slowly as an iteration here goes: other tabs wait for it, too.
    deliver(events);
    return undefined;
  };
  subscriber.ready = (cursor) => {
    say({ cursor, anew: !isAnnounced });
    isAnnounced = leads;
    ready(cursor);
  };
  subscriber.reset = (code, cursor) => {
    say({ code, cursor });
    isAnnounced = false;
    reset(code, cursor);
  };
  subscriber.report = (status) => {
    if (status.state !== "ready") isAnnounced = false;
    report({ ...status, leader: leads });
    sayStatus();
  };

  /** Asks for what this tab lacks, then takes what was said meanwhile. */
  const catchUp = async () => {
    mustCatchUp = true;
    if (working) return;
    const mine = new AbortController();
    working = mine;
    const transport: Transport = async (attempt) => {
      // At least once in each attempt: the one before may have failed.
      do {
        mustCatchUp = false;
        while ((await ask(attempt)).more);
      } while (mustCatchUp);
      mine.abort();
      return undefined;
    };
    await drive(subscriber, { current: ["poll", transport] }, mine.signal, () => {});
    if (working !== mine) return;
    working = undefined;
    deliver(heard.splice(0));
    reportLeader();
  };

  /** It is as its leader is, but is not ready before it stands there too: what is written until then may be no news to it. */
  const reportLeader = () => {
    const { status } = leader;
    if (status.state === "closed") return;
    if (status.state !== "ready" || (isInStep && !working)) report({ ...status, leader: false });
  };

  channel.onmessage = ({ data: message }: MessageEvent<Message<Row>>) => {
    const { join, status, events, cursor, anew, code } = message;
    if (leads) {
      if (!join) return;
      sayStatus();
      // One that polls lags behind those who begin now, until it has asked again.
      if (face.status.transport === "poll") isAnnounced = false;
      else if (isAnnounced) say({ cursor: subscriber.cursor, anew: true });
    } else if (status) {
      leader = message as typeof leader;
      considerTheft();
      reportLeader();
    } else if (code) {
      // What is on its way belongs to the place before.
      stop();
      heard = [];
      reset(code, cursor);
      catchUp();
    } else if (anew) {
      isInStep = true;
      if (working || cursor !== subscriber.cursor) catchUp();
      else reportLeader();
    } else if (isInStep && events) {
      if (!working) deliver(events);
      else if (heard.push(...events) > MOST_HEARD) {
        heard = [];
        mustCatchUp = true;
      }
    } else if (isInStep && !working && cursor) ready(cursor);
  };

  /** A hidden tab's timers run once a second, or once a minute: where the leader needs them, a tab in front takes over. */
  const considerTheft = () => {
    const { status, hidden } = leader;
    if (hidden && !isHidden() && (status.state === "waiting" || status.transport === "poll")) waiting?.abort();
  };

  const lead = async () => {
    working?.abort();
    working = new AbortController();
    waiting = undefined;
    heard = [];
    isAnnounced = isInStep = false;
    leads = true;
    await drive(subscriber, newLadder(), working.signal, subscriber.report);
  };
  const stop = () => {
    leads = false;
    working?.abort();
    working = undefined;
  };

  listen("visibilitychange", () => (leads ? sayStatus() : considerTheft()), signal);
  // A page that goes would tell the others of a connection that failed.
  listen("pagehide", () => leads && stop(), signal);
  signal.addEventListener("abort", () => {
    stop();
    waiting?.abort();
    channel.close();
  });
  // A request fails where the lock is stolen from its holder, or the wait for it was given up; and always in a frame without
  // an origin, which has a connection of its own. One who closed meanwhile must not hold the lock.
  const request = (options: LockOptions) =>
    navigator.locks
      .request(name, options, (lock) => !signal.aborted && (lock ? lead() : true))
      .catch<unknown>((error) => error.name !== "AbortError" && lead());
  while (!signal.aborted) {
    if (await request({ ifAvailable: true })) {
      channel.postMessage({ join: true });
      catchUp();
      waiting = new AbortController();
      await request({ signal: waiting.signal });
      if (!signal.aborted && waiting?.signal.aborted) await request({ steal: true });
    }
    stop();
  }
}
