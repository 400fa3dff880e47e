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
  const { headers, credentials, last = 0, fetch: send = fetch } = options;
  const address = new URL(url);
  address.search += parameters;
  address.searchParams.set(cursor ? "after" : "last", cursor || `${last}`);
  const response = await send(address, {
    headers: { ...headers, accept, ...(token && { authorization: `Bearer ${token}` }) },
    credentials,
    signal,
    cache: "no-store",
  } as RequestInit);
  if (response.ok) return response;
  // A problem document (RFC 9457) of the relay's, or anything of a proxy's.
  const { status } = response;
  const { code, detail, cursor: next } = (await response.json().catch(() => {})) ?? {};
  throw new RowcastError(detail, {
    status,
    code: code ?? `http_${status}`,
    cursor: next,
    // Seconds. A date gives none: then the usual pause will do.
    retryAfterMs: Number(response.headers.get("retry-after")) * 1000,
  });
}
