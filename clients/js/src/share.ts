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
 * - What the leader gets until it is caught up for the first time is not passed on: the others began elsewhere. It then
 *   announces its cursor, and who stands at another one catches up again.
 * - What comes both ways is handed over once, by its id.
 */

import { drive, type Ladder, type Transport } from "./drive.js";
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
  announced?: boolean;
  /** Of a reset. */
  code?: string;
}

/** Messages that are kept while catching up; beyond that it is done once more. */
const MOST_HEARD = 1000;

/** Leads, or follows until it may lead, until the subscription ends. Needs Web Locks and BroadcastChannel. */
export async function share<Row>(subscriber: Subscriber<Row>, newLadder: () => Ladder): Promise<void> {
  const { url, signal, face } = subscriber;
  const { deliver, ready, reset, report } = subscriber;
  const name = `rowcast:${url}`;
  const channel = new BroadcastChannel(name);
  /** Whether this tab leads, and whether the others know where it stands. */
  let leads = false;
  let isAnnounced = false;
  /** End what this tab does: waiting for the lock, and catching up or leading. */
  let waiting: AbortController | undefined;
  let working: AbortController | undefined;
  let mustCatchUp = false;
  /** What is said while it catches up. */
  let heard: Message<Row>[] = [];
  let leader: Message<Row> = {};

  const isHidden = () => globalThis.document?.hidden;
  const say = (message: Message<Row>) => leads && channel.postMessage(message);
  // An error may be something that can't be cloned.
  const sayStatus = () => say({ status: { ...face.status, error: undefined }, hidden: isHidden() });

  // What the connection hands in here goes to the other tabs, too.
  subscriber.deliver = (events) => {
    if (isAnnounced && events.length) say({ events });
    return deliver(events);
  };
  subscriber.ready = (cursor) => {
    say({ cursor, announced: !isAnnounced });
    isAnnounced = leads;
    ready(cursor);
  };
  subscriber.reset = (code, cursor) => {
    say({ code, cursor });
    isAnnounced = false;
    reset(code, cursor);
  };
  subscriber.report = (status) => {
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
      while (mustCatchUp) {
        mustCatchUp = false;
        while ((await ask(attempt)).more);
      }
      mine.abort();
      return undefined;
    };
    await drive(subscriber, { current: ["poll", transport] }, mine.signal, () => {});
    if (working !== mine) return;
    working = undefined;
    for (const message of heard.splice(0)) hear(message);
  };

  const hear = (message: Message<Row>) => {
    const { join, status, events, cursor, announced, code } = message;
    if (leads) {
      if (join) sayStatus();
    } else if (status) {
      leader = message;
      if (status.state !== "closed") report({ ...status, leader: false });
      considerTheft();
    } else if (code) {
      heard = [];
      reset(code, cursor);
      catchUp();
    } else if (announced) {
      if (working || cursor !== subscriber.cursor) catchUp();
    } else if (working) {
      if (heard.push(message) > MOST_HEARD) {
        heard = [];
        mustCatchUp = true;
      }
    } else if (events) deliver(events);
    else if (cursor) ready(cursor);
  };

  /** A hidden tab's timers run once a second, or once a minute: where the leader needs them, a tab in front takes over. */
  const considerTheft = () => {
    const { status, hidden } = leader;
    if (hidden && !isHidden() && (status?.state === "waiting" || status?.transport === "poll")) waiting?.abort();
  };

  const lead = async () => {
    working?.abort();
    working = new AbortController();
    waiting = undefined;
    heard = [];
    isAnnounced = false;
    leads = true;
    await drive(subscriber, newLadder(), working.signal, subscriber.report);
  };
  const stop = () => {
    leads = false;
    working?.abort();
    working = undefined;
  };

  channel.onmessage = ({ data }) => hear(data);
  globalThis.document?.addEventListener("visibilitychange", () => (leads ? sayStatus() : considerTheft()), { signal });
  // A page that goes would tell the others of a connection that failed.
  globalThis.addEventListener?.("pagehide", stop, { signal });
  signal.addEventListener("abort", () => {
    stop();
    waiting?.abort();
    channel.close();
  });
  // A request fails where the lock is stolen from its holder, or the wait for it was given up.
  const request = (options: LockOptions) =>
    navigator.locks.request(name, options, (lock) => (lock ? lead() : true)).catch(() => {});
  while (!signal.aborted) {
    if (await request({ ifAvailable: true })) {
      channel.postMessage({ join: true });
      catchUp();
      waiting = new AbortController();
      await request({ signal: waiting.signal });
      if (waiting?.signal.aborted && !signal.aborted) await request({ steal: true });
    }
    stop();
  }
}
