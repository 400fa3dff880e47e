/** The parser against the cases of the standard, and against streams cut anywhere. */

import { expect, test } from "vitest";
import { createParser } from "../../src/parser.js";
import { createRandom, forSeeds, type Random } from "./support/random.js";
import { type Reading, readWhole } from "./support/reference.js";

/** What the parser makes of a text in pieces. */
function parse(...pieces: string[]): Reading {
  const reading: Reading = { frames: [], retries: [] };
  const parser = createParser(
    (frame) => reading.frames.push(frame),
    (milliseconds) => reading.retries.push(milliseconds),
  );
  for (const piece of pieces) parser(piece);
  return reading;
}

/** The same of bytes, decoded as a stream's are. */
function parseBytes(pieces: Uint8Array[]): Reading {
  const decoder = new TextDecoder();
  return parse(...pieces.map((piece) => decoder.decode(piece, { stream: true })));
}

const data = (reading: Reading) => reading.frames.map((frame) => frame.data);

test("a frame has its type, its data and its id", () => {
  expect(parse("event: ready\nid: 7.1\ndata: {}\n\n").frames).toEqual([{ type: "ready", data: "{}", id: "7.1" }]);
});

test("lines end with CR, LF or CRLF, mixed as well", () => {
  expect(data(parse("data: a\n\ndata: b\r\rdata: c\r\n\r\ndata: d\r\ndata: e\n\rdata: f\r\n\n"))).toEqual([
    "a",
    "b",
    "c",
    "d\ne",
    "f",
  ]);
});

// Without `afterReturn` the LF is a line of its own: the empty one that ends the frame too early.
test("a CR at a piece's end and a LF at the next one's beginning are one end of line", () => {
  expect(data(parse("data: a\r", "\ndata: b\r", "\n\r", "\n"))).toEqual(["a\nb"]);
});

test("an empty piece between CR and LF changes nothing", () => {
  expect(data(parse("data: a\r", "", "\ndata: b\r", "", "\n\r", "", "\n"))).toEqual(["a\nb"]);
});

test("a CR alone at a piece's end ends the frame at once, without waiting for what follows", () => {
  expect(data(parse("data: a\r\r"))).toEqual(["a"]);
  expect(data(parse("data: a\r", "\r"))).toEqual(["a"]);
});

test("a byte order mark at the beginning is none of the first field, also when it comes in pieces", () => {
  const bytes = new TextEncoder().encode("\u{feff}data: a\n\ndata: \u{feff}b\n\n");
  expect(data(parseBytes([bytes]))).toEqual(["a", "\u{feff}b"]);
  expect(data(parseBytes([...bytes].map((byte) => Uint8Array.of(byte))))).toEqual(["a", "\u{feff}b"]);
});

test("an id with a NUL in it is ignored, and an earlier one of the frame stands", () => {
  expect(parse("id: 1\nid: 2\u00003\ndata: a\n\nid: \0\ndata: b\n\n").frames).toEqual([
    { type: "", data: "a", id: "1" },
    { type: "", data: "b", id: undefined },
  ]);
});

// Where the last id persisted, a row that `last` lists would look as if one could resume behind it.
test("a frame without an id has none, also behind one that had", () => {
  expect(parse("id: 1\ndata: a\n\ndata: b\n\n").frames.map(({ id }) => id)).toEqual(["1", undefined]);
});

test("an empty id is an id", () => {
  expect(parse("id: 1\nid\ndata: a\n\n").frames[0]?.id).toBe("");
});

test("a retry of digits alone counts", () => {
  expect(parse("retry: 1500\n").retries).toEqual([1500]);
  expect(parse("retry: 1.5\nretry: -1\nretry: 1s\nretry:\nretry\nretry:  7\nretry: ٣\nretry: 0x10\n").retries).toEqual(
    [],
  );
});

test("a comment is ignored, in the middle of a frame as well", () => {
  expect(data(parse(": hi\n:\ndata: a\n:data: x\ndata: b\n\n"))).toEqual(["a\nb"]);
});

test("a field without a colon has an empty value", () => {
  expect(data(parse("data\n\ndata\ndata\n\n"))).toEqual(["", "\n"]);
});

test("only one space behind the colon is taken away", () => {
  expect(data(parse("data:a\ndata: b\ndata:  c\ndata:\td\ndata: e \n\n"))).toEqual(["a\nb\n c\n\td\ne "]);
});

test("a value may contain colons", () => {
  expect(data(parse("data: a: b:c\n\n"))).toEqual(["a: b:c"]);
});

test("several data lines are joined by LF, empty ones too", () => {
  expect(data(parse("data: a\ndata:\ndata: b\ndata: \n\n"))).toEqual(["a\n\nb\n"]);
});

test("a frame without data is not dispatched, and leaves nothing to the next one", () => {
  expect(parse("event: x\nid: 1\n\ndata: a\n\n").frames).toEqual([{ type: "", data: "a", id: undefined }]);
});

test("a frame that the stream's end cuts off is not dispatched", () => {
  expect(data(parse("data: a\n\ndata: b\n"))).toEqual(["a"]);
  expect(data(parse("data: a\n\ndata: b"))).toEqual(["a"]);
});

test("fields that nobody knows are ignored, and names are told apart by case and by spaces", () => {
  expect(parse("Data: a\ndata : b\n data: c\nfoo: d\nevents: e\ndata: f\n\n").frames).toEqual([
    { type: "", data: "f", id: undefined },
  ]);
});

test("other line separators of Unicode are part of the data", () => {
  expect(data(parse("data: a\u2028b\u2029c\u0085d\u000be\n\n"))).toEqual(["a\u2028b\u2029c\u0085d\u000be"]);
});

const FIELDS = ["data", "event", "id", "retry", "", "foo", "Data", "data ", " data"] as const;
const VALUES = [
  "",
  "a",
  " a",
  "  a",
  "12",
  "1é2",
  "0",
  "\u{1f600}",
  "x:y",
  "\0",
  "7.1~2",
  "日本",
  "\u2028",
  "{}",
] as const;
const ENDS = ["\n", "\r", "\r\n"] as const;

/** A stream of all that can stand in one, and of some that can't. */
function randomStream(random: Random): string {
  let stream = random.chance(0.2) ? "\u{feff}" : "";
  const end = random.chance(0.5) ? random.pick(ENDS) : undefined;
  for (let line = random.int(0, 40); line > 0; line--) {
    if (random.chance(0.7)) {
      // Mostly data: frames without any aren't dispatched.
      const field = random.chance(0.4) ? "data" : random.pick(FIELDS);
      stream += field + random.pick([":", ": ", ""]) + random.pick(VALUES);
    }
    stream += end ?? random.pick(ENDS);
  }
  return random.chance(0.3) ? stream + random.pick(["data: x", "\r", "da"]) : stream;
}

/** Cuts anywhere, with empty pieces, too. */
function cut<T extends { slice(from: number, to?: number): T; length: number }>(whole: T, random: Random): T[] {
  const most = random.pick([1, 2, 5, 30]);
  const pieces: T[] = [];
  for (let at = 0; at < whole.length; ) {
    const length = random.int(0, most);
    pieces.push(whole.slice(at, at + length));
    at += length;
  }
  return pieces;
}

test("any stream cut into any pieces says what the standard says of the whole", async () => {
  await forSeeds(3000, (random) => {
    const stream = randomStream(random);
    const whole = readWhole(stream);
    // A byte order mark is the decoder's business.
    const pieces = cut(stream.replace(/^\u{feff}/u, ""), random);
    expect(parse(...pieces), JSON.stringify(pieces)).toEqual(whole);
  });
});

test("any stream cut into any bytes says what the standard says of the whole", async () => {
  await forSeeds(3000, (random) => {
    const stream = randomStream(random);
    const pieces = cut(new TextEncoder().encode(stream), random);
    expect(parseBytes(pieces), JSON.stringify(stream)).toEqual(readWhole(stream));
  });
});

test("the random streams are worth parsing: most have frames, some have ids, types and retries", () => {
  const random = createRandom(1);
  const readings = Array.from({ length: 200 }, () => readWhole(randomStream(random)));
  const frames = readings.flatMap((reading) => reading.frames);
  expect(readings.filter((reading) => reading.frames.length).length).toBeGreaterThan(100);
  expect(frames.filter(({ id }) => id).length).toBeGreaterThan(10);
  expect(frames.filter(({ type }) => type).length).toBeGreaterThan(10);
  expect(readings.flatMap((reading) => reading.retries).length).toBeGreaterThan(10);
});
