/** The words of the client's interface: events, options, statuses, and what `subscribe` gives. */

/** The ways to follow, best first. */
export type TransportName = "sse" | "long-poll" | "poll";

/** One change of one row, as the relay delivers it. */
export interface RowEvent<Row = Record<string, unknown>> {
  op: "insert" | "update" | "delete";
  /**
   * The row's id, or of a table with a journal the number of the entry; `null` for a row that `last` lists as it stands.
   * Exact up to 2^53, as every number in JavaScript.
   */
  id: number | null;
  room: string;
  /** What names the row; only of a table with a journal. */
  key?: Record<string, unknown>;
  /** `null` at a delete, and where the row is too large to be sent. */
  row: Row | null;
  /** Whether the row is too large to be sent. */
  truncated?: true;
}

/** The place that a subscription had is gone: what is shown must be fetched afresh. */
export interface Reset {
  /** `truncated`, `epoch`, `expired`, `cursor_ahead`, `invalid_cursor` or `gone`. */
  code: string;
  /** Where it goes on; absent where the newest `last` come first. */
  cursor?: string | undefined;
}

/** How a subscription is doing. */
export interface Status {
  /**
   * `connecting`: a request is under way. `ready`: caught up, following. `waiting`: between two attempts.
   * `closed`: over, by `close()` or for `error`.
   */
  state: "connecting" | "ready" | "waiting" | "closed";
  transport: TransportName;
  /** With `share`: whether the connection is this tab's. */
  leader?: boolean;
  /** At `waiting`: how long, in milliseconds. */
  retryInMs?: number;
  /** At `waiting` and `closed`: why. A `RowcastError` is the relay's answer. */
  error?: unknown;
}

/** What a subscription calls. All of them can be given as options, or set on the subscription. */
export interface Handlers<Row> {
  /** An event; `subscription.cursor` is the place after it. */
  onEvent?: ((event: RowEvent<Row>) => void) | undefined;
  /** What is shown must be dropped: the events that follow begin afresh. */
  onReset?: ((reset: Reset) => void) | undefined;
  onStatus?: ((status: Status) => void) | undefined;
}

export interface Options<Row = Record<string, unknown>> extends Handlers<Row> {
  /** Without a cursor: first the newest that many events, 0 (default) to 1,000. */
  last?: number;
  /** A cursor to resume from, as `subscription.cursor` or a page's server gave it. */
  after?: string;
  /** A bearer token, or what gives one: it is called again when the relay refuses the token. */
  token?: string | (() => string | Promise<string>);
  /** More headers. Of another origin the relay must admit them. */
  headers?: Record<string, string>;
  /** As of `fetch`; `include` sends cookies to another origin. */
  credentials?: RequestCredentials;
  /** In place of the global `fetch`. */
  fetch?: typeof fetch;
  /** Ends the subscription, as `close()` does. */
  signal?: AbortSignal;
  /** Which to use, best first; default: all three. */
  transports?: TransportName[];
  /** Keeps the cursor in `sessionStorage`, so that a reload resumes: true, or the key to keep it under. */
  persist?: boolean | string;
  /** One connection for all tabs of the origin that follow this URL. Needs Web Locks (a secure context, or localhost). */
  share?: boolean;
  /** Seconds that a long poll waits, 1 to 60. Default 25: nginx cuts at 60, others at 30. */
  wait?: number;
  /** Milliseconds within which a stream must be open, and go on until `ready`. Default 5,000. */
  openTimeout?: number;
  /** Milliseconds of silence after which a stream is dead. Default 35,000: two of the relay's heartbeats, and some. */
  silenceTimeout?: number;
  /** Milliseconds until a better transport is tried again; doubled each time it fails. Default 30,000. */
  climbAfter?: number;
  /** Milliseconds between two polls, 2,000 by default, plus up to half at random. */
  pollInterval?: number;
}

/** What `subscribe` gives: callbacks to set, an end, and the same as an async iterator. */
export interface Subscription<Row = Record<string, unknown>>
  extends Handlers<Row>,
    AsyncIterableIterator<RowEvent<Row>, undefined> {
  /** The place after the last event that was handed over; resume from it with `after`. Undefined until there is one. */
  readonly cursor: string | undefined;
  readonly status: Status;
  /** Ends it at once. Iterations end, too. */
  close(): void;
}
