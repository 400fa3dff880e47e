/** The one error that a relay's answer becomes. */

export class RowcastError extends Error {
  override name = "RowcastError";
  /** HTTP's status. */
  declare readonly status: number;
  /** The relay's stable code, such as `forbidden`; `http_502` where another server answered. */
  declare readonly code: string;
  /** How long the relay wants to be left alone, in ms. */
  declare readonly retryAfterMs?: number;
  /** At a reset: the cursor to go on from. */
  declare readonly cursor?: string;

  constructor(message: string, answer: Pick<RowcastError, "status" | "code" | "retryAfterMs" | "cursor">) {
    super(message);
    Object.assign(this, answer);
  }
}
