/**
 * One connection for all tabs of an origin that follow the same URL.
 *
 * A lock (Web Locks) makes one tab the leader: it holds the connection and passes on what comes (BroadcastChannel). When
 * it closes, the browser gives the lock to the next tab, which goes on from the cursor that it has itself.
 *
 * Every tab stands on its own cursor, so it need not trust that it heard everything:
 *
 * - One that joins listens first and catches up by polls of its own then: what the leader passed on before, the polls
 *   show, since a poll shows all that was committed before it.
 * - What the leader gets before it is caught up for the first time is not passed on: the others have begun elsewhere. It
 *   then announces its cursor, and who stands at another one catches up again.
 * - What comes both ways is handed over once, by its id.
 */

import { Drive, type Ladder } from "./drive.js";
import { catchUp } from "./poll.js";
import type { Notice, Subscriber } from "./subscriber.js";
import type { Status } from "./types.js";

/** What tabs tell each other. */
type Message<Row> =
  | Exclude<Notice<Row>, { kind: "status" }>
  /** The leader's state, and whether its tab is hidden: timers of hidden tabs are slow. */
  | { kind: "status"; status: Status; hidden: boolean }
  /** The leader stands at this cursor for a reason of its own: whoever stands elsewhere must catch up. */
  | { kind: "announce"; cursor: string | undefined }
  /** A tab that follows now wants to know how things are. */
  | { kind: "join" };

/** Messages that are kept while catching up; beyond that it is done again. */
const MOST_HEARD = 1000;

/** Shares the connection, or opens one of its own where the browser lacks what it takes. */
export function share<Row>(subscriber: Subscriber<Row>, ladder: Ladder): void {
  if (globalThis.navigator?.locks && globalThis.BroadcastChannel) new Tab(subscriber, ladder).run();
  else new Drive(subscriber, ladder, (status) => subscriber.report(status)).run(subscriber.signal);
}

const isHidden = (): boolean => !!globalThis.document?.hidden;

class Tab<Row> {
  readonly #name: string;
  readonly #channel: BroadcastChannel;
  /** Leading: ends the lead. */
  #lead: AbortController | undefined;
  /** Waiting for the lock: ends the wait, to take it by force. */
  #wait: AbortController | undefined;
  /** Catching up: ends it; what was heard meanwhile; whether it must be done again. */
  #catching: AbortController | undefined;
  #heard: Message<Row>[] = [];
  #again = false;
  /** Whether the leader has announced its cursor. */
  #announced = false;
  #leader: { status: Status; hidden: boolean } | undefined;

  constructor(
    readonly subscriber: Subscriber<Row>,
    readonly ladder: Ladder,
  ) {
    this.#name = `rowcast:${subscriber.url}`;
    this.#channel = new BroadcastChannel(this.#name);
    this.#channel.onmessage = ({ data }) => this.#hear(data);
    subscriber.signal.addEventListener("abort", () => {
      this.#lead?.abort();
      this.#wait?.abort();
      this.#catching?.abort();
      this.#channel.close();
    });
    globalThis.document?.addEventListener("visibilitychange", () => this.#considerTheft(), {
      signal: subscriber.signal,
    });
  }

  /** Leads, or follows until it may lead, until the subscription ends. */
  async run(): Promise<void> {
    const { locks } = navigator;
    const lead = () => this.#leads();
    let steal = false;
    while (!this.subscriber.signal.aborted) {
      try {
        if (steal) {
          steal = false;
          await locks.request(this.#name, { steal: true }, lead);
        } else if (await locks.request(this.#name, { ifAvailable: true }, (lock) => (lock ? lead() : true))) {
          this.#say({ kind: "join" });
          this.#catchUp();
          this.#wait = new AbortController();
          await locks.request(this.#name, { signal: this.#wait.signal }, lead);
        }
      } catch {
        // Stolen by a tab in front, or given up to steal it.
        steal = !!this.#wait?.signal.aborted;
      }
      this.#wait = undefined;
      this.#lead?.abort();
      this.#lead = undefined;
    }
  }

  async #leads(): Promise<void> {
    const lead = new AbortController();
    const { subscriber } = this;
    this.#lead = lead;
    this.#announced = false;
    this.#catching?.abort();
    this.#catching = undefined;
    this.#heard = [];
    subscriber.onNotice = (notice) => {
      if (!lead.signal.aborted) this.#passOn(notice);
    };
    if (!subscriber.signal.aborted) {
      await new Drive(subscriber, this.ladder, (status) => subscriber.report({ ...status, leader: true })).run(
        lead.signal,
      );
    }
  }

  #passOn(notice: Notice<Row>): void {
    if (notice.kind === "status") this.#say({ ...notice, hidden: isHidden() });
    else if (notice.kind === "events") {
      if (this.subscriber.synced) this.#say(notice);
    } else if (notice.kind === "ready" && !this.#announced) {
      this.#announced = true;
      this.#say({ kind: "announce", cursor: notice.cursor });
    } else {
      if (notice.kind === "reset") this.#announced = false;
      this.#say(notice);
    }
  }

  #hear(message: Message<Row>): void {
    const { subscriber } = this;
    if (this.#lead) {
      if (message.kind === "join") this.#passOn({ kind: "status", status: subscriber.status });
    } else if (message.kind === "status") {
      this.#leader = message;
      if (message.status.state !== "closed") subscriber.report({ ...message.status, leader: false });
      this.#considerTheft();
    } else if (message.kind === "announce") {
      if (this.#catching || message.cursor !== subscriber.cursor) this.#catchUp();
    } else if (message.kind === "reset") {
      this.#heard = [];
      subscriber.reset(message.reset.code, message.reset.cursor);
      this.#catchUp();
    } else if (this.#catching) {
      if (this.#heard.push(message) > MOST_HEARD) {
        this.#heard = [];
        this.#again = true;
      }
    } else if (message.kind === "events") subscriber.deliver(message.events);
    else if (message.kind === "ready") subscriber.moveTo(message.cursor);
  }

  /** Asks for what this tab lacks, then takes what was heard meanwhile. */
  async #catchUp(): Promise<void> {
    this.#again = true;
    if (this.#catching) return;
    const catching = new AbortController();
    this.#catching = catching;
    while (this.#again && !catching.signal.aborted) {
      this.#again = false;
      await new Drive(this.subscriber, [["poll", catchUp]], () => {}).run(catching.signal);
    }
    if (this.#catching !== catching) return;
    this.#catching = undefined;
    for (const message of this.#heard.splice(0)) this.#hear(message);
  }

  /** A hidden tab's timers run once a second or minute: where the leader depends on them, a tab in front takes over. */
  #considerTheft(): void {
    if (this.#lead) {
      this.#passOn({ kind: "status", status: this.subscriber.status });
    } else if (!isHidden() && this.#leader?.hidden) {
      const { state, transport } = this.#leader.status;
      if (state === "waiting" || transport === "poll") this.#wait?.abort();
    }
  }

  #say(message: Message<Row>): void {
    this.#channel.postMessage(message);
  }
}
