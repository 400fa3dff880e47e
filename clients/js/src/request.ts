/** One request for events, and what its answer means where it is no success. */

import type { Drive } from "./drive.js";
import { RowcastError } from "./error.js";

/**
 * Asks for the events after the subscriber's cursor. Throws what `fetch` throws, and a `RowcastError` for any other
 * status than one of success.
 */
export async function request<Row>(
  { subscriber, headers, signal }: Drive<Row>,
  accept: string,
  parameters: Record<string, number | string | undefined>,
): Promise<Response> {
  const { options, cursor } = subscriber;
  const url = new URL(subscriber.url);
  for (const [name, value] of Object.entries({ after: cursor, ...parameters })) {
    if (value !== undefined) url.searchParams.set(name, `${value}`);
  }
  const { credentials, fetch = globalThis.fetch } = options;
  const response = await fetch(url, {
    headers: { ...headers, accept },
    signal,
    cache: "no-store",
    ...(credentials && { credentials }),
  });
  if (response.ok) return response;
  // A problem document (RFC 9457) of the relay's, or anything of a proxy's.
  const problem = await response.json().catch(() => ({}));
  const { code = `http_${response.status}`, detail = response.statusText, cursor: next } = problem;
  throw new RowcastError(response.status, code, detail, retryAfter(response), next);
}

/** `Retry-After` in ms: RFC 9110 has seconds, or a date. */
function retryAfter(response: Response): number | undefined {
  const text = response.headers.get("retry-after");
  if (!text) return undefined;
  const milliseconds = /^\d+$/.test(text) ? +text * 1000 : Date.parse(text) - Date.now();
  return milliseconds >= 0 ? milliseconds : undefined;
}
