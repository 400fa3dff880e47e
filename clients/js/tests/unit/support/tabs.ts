/**
 * Tabs of one browser in one process: Web Locks and BroadcastChannel as their specifications have them, with delays that
 * chance decides. Each tab is hidden or not by itself: what runs for a tab runs in its own asynchronous context.
 */

import { AsyncLocalStorage } from "node:async_hooks";
import { vi } from "vitest";
import type { Random } from "./random.js";

export interface Tab {
  isHidden: boolean;
}

const current = new AsyncLocalStorage<Tab>();

/** Runs `work`, and all that follows from it, as that tab's. */
export const inTab = <T>(tab: Tab, work: () => T): T => current.run(tab, work);

interface Held {
  reject(error: unknown): void;
}
interface Asked {
  grant(): void;
}

/** Web Locks, W3C: a queue per name, `ifAvailable`, `signal`, `steal`. */
class Locks {
  readonly held = new Map<string, Held>();
  readonly queues = new Map<string, Asked[]>();

  constructor(readonly delay: () => number) {}

  request(name: string, options: LockOptions, callback: (lock: object | null) => unknown): Promise<unknown> {
    const { ifAvailable, steal, signal } = options;
    return new Promise((resolve, reject) => {
      const tab = current.getStore();
      const run = (lock: object | null) => {
        const call = async () => callback(lock);
        return tab ? inTab(tab, call) : call();
      };
      const grant = () => {
        signal?.removeEventListener("abort", giveUp);
        const mine: Held = { reject };
        this.held.set(name, mine);
        const over = () => {
          // A lock that was stolen is another's now.
          if (this.held.get(name) !== mine) return;
          this.held.delete(name);
          setTimeout(() => this.#next(name), this.delay());
        };
        run({ name }).finally(over).then(resolve, reject);
      };
      const asked: Asked = { grant };
      const giveUp = () => {
        this.queues.set(
          name,
          this.#queue(name).filter((each) => each !== asked),
        );
        reject(signal?.reason);
      };
      if (signal?.aborted) return giveUp();
      signal?.addEventListener("abort", giveUp);
      // Who waits may give up before the browser has looked.
      setTimeout(() => {
        if (signal?.aborted) return;
        const holder = this.held.get(name);
        if (steal) {
          this.held.delete(name);
          grant();
          setTimeout(() => holder?.reject(new DOMException("Stolen", "AbortError")), this.delay());
        } else if (ifAvailable && (holder || this.#queue(name).length)) {
          run(null).then(resolve, reject);
        } else {
          this.#queue(name).push(asked);
          this.#next(name);
        }
      }, this.delay());
    });
  }

  #queue(name: string): Asked[] {
    const queue = this.queues.get(name) ?? [];
    this.queues.set(name, queue);
    return queue;
  }

  #next(name: string): void {
    if (!this.held.has(name)) this.#queue(name).shift()?.grant();
  }
}

/** Messages keep the order of their sender, for each receiver; nothing is said about those of two senders. */
function channels(delay: () => number) {
  const open = new Set<Channel>();
  class Channel {
    onmessage: ((event: { data: unknown }) => void) | undefined;
    readonly #tab = current.getStore();
    /** When the latest message to each receiver arrives. */
    readonly #arrivals = new Map<Channel, number>();

    constructor(readonly name: string) {
      open.add(this);
    }

    postMessage(message: unknown): void {
      if (!open.has(this)) throw new DOMException("Closed", "InvalidStateError");
      const data = structuredClone(message);
      for (const channel of open) {
        if (channel === this || channel.name !== this.name) continue;
        const at = Math.max(this.#arrivals.get(channel) ?? 0, Date.now() + delay());
        this.#arrivals.set(channel, at);
        setTimeout(() => channel.#receive(structuredClone(data)), at - Date.now());
      }
    }

    #receive(data: unknown): void {
      const hear = () => this.onmessage?.({ data });
      if (!open.has(this)) return;
      if (this.#tab) inTab(this.#tab, hear);
      else hear();
    }

    close(): void {
      open.delete(this);
    }
  }
  return { Channel, open };
}

export interface Browser {
  /** Channels that nobody closed. */
  open: Set<unknown>;
  /** Hides a tab, or brings it to the front. */
  hide(tab: Tab, isHidden: boolean): void;
}

/** Gives the test a browser: `navigator.locks`, `BroadcastChannel`, `document`, with delays of up to so many ms. */
export function stubBrowser(random: Random, slowest = 200): Browser {
  const { Channel, open } = channels(() => random.pick([0, random.int(0, slowest)]));
  const listeners = new Set<{ tab: Tab | undefined; listener: () => void }>();
  vi.stubGlobal("BroadcastChannel", Channel);
  vi.stubGlobal("navigator", { locks: new Locks(() => random.int(0, slowest / 4)) });
  vi.stubGlobal("document", {
    get hidden() {
      return current.getStore()?.isHidden ?? false;
    },
  });
  vi.stubGlobal("addEventListener", (type: string, listener: () => void, { signal }: { signal: AbortSignal }) => {
    const entry = { tab: current.getStore(), listener };
    if (type !== "visibilitychange") return;
    listeners.add(entry);
    signal.addEventListener("abort", () => listeners.delete(entry));
  });
  return {
    open,
    hide(tab, isHidden) {
      tab.isHidden = isHidden;
      for (const entry of [...listeners]) if (entry.tab === tab) inTab(tab, entry.listener);
    },
  };
}
