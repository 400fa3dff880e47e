/** Sessions that write rows while something else happens. */

import { setTimeout as pause } from "node:timers/promises";
import type { Database } from "./database.js";
import { ROOM } from "./database.js";

const INSERT = "insert into messages (room_id, n) select $1, unnest($2::integer[])";

/** Commits one row after the other, each with the next number, until it is stopped. */
export class Writer {
  readonly written: number[] = [];
  #stopped = false;
  #work: Promise<void>;

  constructor(readonly database: Database) {
    this.#work = this.#write();
    // Whoever stops it hears of a failure.
    this.#work.catch(() => {});
  }

  /** Ends after the row that is being written. Returns the numbers of all that were committed, in order. */
  async stop(): Promise<number[]> {
    this.#stopped = true;
    await this.#work;
    return this.written;
  }

  async #write(): Promise<void> {
    const session = await this.database.connect();
    for (let n = 1; !this.#stopped; n++) {
      await session.query(INSERT, [ROOM, [n]]);
      this.written.push(n);
      // It isn't there to load the machine.
      await pause(10);
    }
  }
}

/**
 * Commits `count` rows, numbered from 0, by two sessions at once, in transactions of 1 to 9 rows; beside each third
 * transaction one is rolled back, which leaves holes among the ids.
 */
export async function writeConcurrently(database: Database, count: number): Promise<void> {
  const numbers = Array.from({ length: count }, (_, n) => n);
  let size = 0;
  const next = () => numbers.splice(0, (size++ % 9) + 1);
  const work = async () => {
    const session = await database.connect();
    for (let batch = next(); batch.length; batch = next()) {
      if (size % 3 === 0) {
        await session.query("begin");
        await session.query(INSERT, [ROOM, [-1, -2]]);
        await session.query("rollback");
      }
      await session.query("begin");
      for (const n of batch) await session.query(INSERT, [ROOM, [n]]);
      await session.query("commit");
    }
  };
  await Promise.all([work(), work()]);
}
