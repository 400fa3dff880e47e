/** The client at work in a page: what it was given, in order, by which transport. */

import { expect, type Page } from "@playwright/test";
import type { Options, Reset, Status, Subscription, TransportName } from "../../../src/types.js";
import { EVENTS } from "./database.js";

/** A row that arrived. */
export interface Arrival {
  /** The row's number, as the writer counted. */
  n: number;
  /** The transport in use when it was handed over. */
  transport: TransportName;
}

/** What a page keeps of its subscription. */
interface Record_ {
  arrivals: Arrival[];
  resets: Reset[];
  /** Every status, and of a `RowcastError` what can be compared. */
  statuses: (Status & { problem?: { name: string; status: number; code: string } })[];
  subscription: Subscription;
}

declare global {
  interface Window {
    follower: Record_;
  }
}

export interface FollowOptions
  extends Omit<Options, "onEvent" | "onReset" | "onStatus" | "token" | "fetch" | "signal"> {
  /** The page's path of the events. */
  path?: string;
  /** A token; or the name of a function that the test has exposed to the page, which gives one. */
  token?: string | { exposed: string };
  /** Keeps arrivals in `sessionStorage`: those from before a reload stand with those from after it. */
  ledger?: boolean;
}

/** Pauses that are short in tests, and all the time to open: a busy machine may be late. */
export const QUICK = { openTimeout: 60_000, climbAfter: 400, pollInterval: 50, wait: 2 } satisfies Options;

/** Where streams hang: the client gives them up soon. It may give up one that was only late, and finds that out by climbing. */
export const IMPATIENT = { ...QUICK, openTimeout: 500 } satisfies Options;

/** The client in a page. */
export class Follower {
  constructor(readonly page: Page) {}

  /** Opens a page of `origin` and subscribes in it. */
  static async open(page: Page, origin: string, options: FollowOptions = {}): Promise<Follower> {
    // Any document of the origin will do.
    await page.goto(`${origin}/health/live`);
    return Follower.begin(page, options);
  }

  /** Subscribes in the page as it is. */
  static async begin(page: Page, options: FollowOptions = {}): Promise<Follower> {
    const { path = EVENTS, token, ledger = false, ...rest } = options;
    await page.evaluate(follow, { script: "/rowcast.js", path, token, ledger, options: rest });
    return new Follower(page);
  }

  async arrivals(): Promise<Arrival[]> {
    return this.page.evaluate(() => window.follower.arrivals);
  }

  /** The numbers of the rows that arrived, in order. */
  async numbers(): Promise<number[]> {
    return (await this.arrivals()).map((arrival) => arrival.n);
  }

  async status(): Promise<Record_["statuses"][number]> {
    const status = await this.page.evaluate(() => window.follower.statuses.at(-1));
    if (!status) throw new Error("a subscription has a status");
    return status;
  }

  async resets(): Promise<Reset[]> {
    return this.page.evaluate(() => window.follower.resets);
  }

  /** Waits until it is caught up, over `transport` where given. */
  async ready(transport?: TransportName): Promise<void> {
    const wanted = transport ? { state: "ready", transport } : { state: "ready" };
    await expect.poll(() => this.status(), `ready ${transport ?? ""}`).toMatchObject(wanted);
  }

  /** Waits until something has arrived that was handed over by `transport` and was not among the first `since`. */
  async arrivesOver(transport: TransportName, since: number): Promise<void> {
    const over = async () => (await this.arrivals()).slice(since).map((arrival) => arrival.transport);
    await expect.poll(over, `rows over ${transport}`).toContain(transport);
  }

  /** Waits until the last of `numbers` is there, and checks that all are, once each, in that order. */
  async hasExactly(numbers: number[]): Promise<void> {
    await expect.poll(() => this.numbers(), "the last row has arrived").toContain(numbers.at(-1));
    expect(await this.numbers()).toEqual(numbers);
  }

  async close(): Promise<void> {
    await this.page.evaluate(() => window.follower.subscription.close());
  }
}

/** Runs in the page. */
async function follow(given: {
  script: string;
  path: string;
  token: FollowOptions["token"];
  ledger: boolean;
  options: Partial<Options>;
}): Promise<void> {
  const { subscribe } = (await import(given.script)) as {
    subscribe(url: string, options: Options<{ n: number }>): Subscription;
  };
  const { token, options } = given;
  const arrivals: Arrival[] = given.ledger ? JSON.parse(sessionStorage.getItem("ledger") ?? "[]") : [];
  const record: Omit<Record_, "subscription"> = { arrivals, resets: [], statuses: [] };
  const ask = (name: string) => (window as unknown as Record<string, () => Promise<string>>)[name]?.() ?? "";
  const subscription = subscribe(given.path, {
    ...(options as Options<{ n: number }>),
    ...(token === undefined ? {} : { token: typeof token === "string" ? token : () => ask(token.exposed) }),
    onEvent(event) {
      record.arrivals.push({ n: event.row?.n ?? Number.NaN, transport: record.statuses.at(-1)?.transport ?? "sse" });
      if (given.ledger) sessionStorage.setItem("ledger", JSON.stringify(record.arrivals));
    },
    onReset(reset) {
      record.resets.push(reset);
    },
    onStatus(status) {
      const { error, ...plain } = status;
      const { name, status: code, code: word } = (error ?? {}) as { name: string; status: number; code: string };
      record.statuses.push(error ? { ...plain, problem: { name, status: code, code: word } } : plain);
    },
  });
  record.statuses.unshift({ ...subscription.status });
  window.follower = { ...record, subscription };
}
