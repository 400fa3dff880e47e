/** A picture of a room, kept from its events. */

import type { RowEvent } from "./types.js";

export interface RowListOptions<Row> {
  /** How many rows are kept; the first ones go. Default: all. */
  limit?: number;
  /** The order, as of `Array.sort`. Default: the order of arrival; an update leaves its row where it is. */
  compare?: (a: Row, b: Row) => number;
}

/** Rows by their key (of a table with a journal) or id, in order. Drop all with `clear` at a reset. */
export class RowList<Row = Record<string, unknown>> {
  #rows = new Map<string | number | null, Row>();
  #options: RowListOptions<Row>;
  #sorted: Row[] | undefined;

  constructor(options: RowListOptions<Row> = {}) {
    this.#options = options;
  }

  /** The rows in order: the same array until something changes, so that a framework can tell by identity. */
  get rows(): readonly Row[] {
    if (!this.#sorted) {
      this.#sorted = [...this.#rows.values()];
      if (this.#options.compare) this.#sorted.sort(this.#options.compare);
    }
    return this.#sorted;
  }

  /**
   * Takes an event. An update of a row that isn't here is one of a row before the list's beginning, and passes by. A row
   * that is too large to be sent changes nothing: fetch it by its key.
   */
  apply(event: RowEvent<Row>): void {
    const key = event.key ? JSON.stringify(event.key) : event.id;
    if (event.op === "delete") this.#rows.delete(key);
    else if (event.row && (event.op === "insert" || this.#rows.has(key))) this.#rows.set(key, event.row);
    else return;
    this.#sorted = undefined;
    const { limit = Number.POSITIVE_INFINITY } = this.#options;
    if (this.#rows.size > limit) {
      const kept = new Set(this.rows.slice(this.#rows.size - limit));
      for (const [key, row] of this.#rows) if (!kept.has(row)) this.#rows.delete(key);
      this.#sorted = undefined;
    }
  }

  /** Drops all rows. */
  clear(): void {
    this.#rows.clear();
    this.#sorted = undefined;
  }
}
