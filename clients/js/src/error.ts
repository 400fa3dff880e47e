/** The one error that a relay's answer becomes. */

export class RowcastError extends Error {
  override name = "RowcastError";

  constructor(
    /** HTTP's status. */
    readonly status: number,
    /** The relay's stable code, such as `forbidden`; `http_502` where another server answered. */
    readonly code: string,
    message: string,
    /** How long the relay wants to be left alone, in ms. */
    readonly retryAfterMs?: number,
    /** At a reset: the cursor to go on from. */
    readonly cursor?: string,
  ) {
    super(message);
  }
}
