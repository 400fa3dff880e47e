/** One request for events, and what its answer means where it is no success. */

import type { Attempt } from "./drive.js";
import { RowcastError } from "./error.js";

/**
 * Asks for the events after the subscriber's cursor, without one for the newest `last`. `parameters` are those of the
 * transport. Throws what `fetch` throws, and a `RowcastError` where the status is none of success.
 */
export async function request<Row>(
  { subscriber, token, signal }: Attempt<Row>,
  accept: string,
  parameters = "",
): Promise<Response> {
  const { url, cursor, options } = subscriber;
  const address = new URL(url);
  const { headers, credentials, last = address.searchParams.get("last") ?? 0, fetch: send = fetch } = options;
  address.search += parameters;
  // Beside a cursor `last` counts where the relay resets a stream.
  address.searchParams.set("last", `${last}`);
  if (cursor) address.searchParams.set("after", cursor);
  const response = await send(address, {
    headers: { ...headers, accept, ...(token && { authorization: `Bearer ${token}` }) },
    credentials,
    signal,
    cache: "no-store",
  } as RequestInit);
  if (response.ok) return response;
  // A problem document (RFC 9457) of the relay's, or anything of a proxy's.
  const { status } = response;
  const answer = (await response.json().catch(() => {})) ?? {};
  const { code = `http_${status}`, detail = code, cursor: next } = answer;
  throw new RowcastError(detail, {
    status,
    code,
    cursor: next,
    // Seconds. A date gives none: then the usual pause will do.
    retryAfterMs: Number(response.headers.get("retry-after")) * 1000 || 0,
  });
}
