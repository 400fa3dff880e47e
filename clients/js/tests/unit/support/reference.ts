/**
 * The event stream format as the HTML standard writes it down (9.2.5 and 9.2.6), for whole texts: what the parser in
 * pieces is held against. Slow and literal on purpose.
 */

import type { Frame } from "../../../src/parser.js";

export interface Reading {
  frames: Frame[];
  retries: number[];
}

/** All that a whole stream says. Ids are those of the frame itself, where the standard lets the last one persist. */
export function readWhole(stream: string): Reading {
  const reading: Reading = { frames: [], retries: [] };
  let rest = stream.startsWith("\u{feff}") ? stream.slice(1) : stream;
  let data = "";
  let type = "";
  let id: string | undefined;
  for (;;) {
    const end = /\r\n|\n|\r/.exec(rest);
    // "Once the end of the file is reached, any pending data must be discarded."
    if (!end) return reading;
    const line = rest.slice(0, end.index);
    rest = rest.slice(end.index + end[0].length);
    if (line === "") {
      if (data !== "") reading.frames.push({ type, data: data.endsWith("\n") ? data.slice(0, -1) : data, id });
      data = "";
      type = "";
      id = undefined;
      continue;
    }
    if (line.startsWith(":")) continue;
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    let value = colon < 0 ? "" : line.slice(colon + 1);
    if (value.startsWith(" ")) value = value.slice(1);
    if (field === "event") type = value;
    else if (field === "data") data += `${value}\n`;
    else if (field === "id" && !value.includes("\u0000")) id = value;
    else if (field === "retry" && [...value].every((digit) => "0123456789".includes(digit)) && value !== "") {
      reading.retries.push(Number.parseInt(value, 10));
    }
  }
}
