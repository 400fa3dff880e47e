/**
 * Server-Sent Events as text in pieces of any size (HTML standard, 9.2.6 "Interpreting an event stream").
 *
 * A `TextDecoder` before it removes the byte order mark. Frames are kept apart where the standard would let the last id
 * persist: whether a frame has an id of its own decides whether a client may resume from it.
 */

export interface Frame {
  /** The `event` field; "" where there is none. */
  type: string;
  data: string;
  /** The frame's own `id`; absent where it has none, or one with a NUL in it. */
  id: string | undefined;
}

/** Returns a function that takes the next piece of the stream, and calls `onFrame` and `onRetry` (in ms) for what it completes. */
export function createParser(
  onFrame: (frame: Frame) => void,
  onRetry: (milliseconds: number) => void,
): (text: string) => void {
  let rest = "";
  /** A CR ended the last piece: a LF that opens the next one belongs to it. */
  let afterReturn = false;
  let type = "";
  let data = "";
  let id: string | undefined;

  const line = (text: string): void => {
    if (!text) {
      // Without data nothing is dispatched, as `event: x` alone.
      if (data) onFrame({ type, data: data.slice(1), id });
      type = data = "";
      id = undefined;
      return;
    }
    const [, field, value = ""] = /^([^:]*)(?:: ?(.*))?$/s.exec(text) as unknown as [string, string, string?];
    if (field === "data") data += `\n${value}`;
    else if (field === "event") type = value;
    else if (field === "id" && !value.includes("\0")) id = value;
    else if (field === "retry" && /^\d+$/.test(value)) onRetry(+value);
  };

  return (text) => {
    if (!text) return;
    // Only what is new is looked at: a large event comes in many pieces.
    const lines = (afterReturn && text[0] === "\n" ? text.slice(1) : text).split(/\r\n|\r|\n/);
    afterReturn = text.endsWith("\r");
    lines[0] = rest + lines[0];
    rest = lines.pop() as string;
    for (const each of lines) line(each);
  };
}
