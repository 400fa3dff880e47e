/** Figures as a person reads them. What isn't known is a dash. */

const UNKNOWN = "–";

const grouped = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const tenths = new Intl.NumberFormat("en", { minimumFractionDigits: 1, maximumFractionDigits: 1 });

/** With a tenth where that says something. */
const short = (value) => (value < 9.95 ? tenths : grouped).format(value);

export function count(value) {
  return value == null ? UNKNOWN : grouped.format(value);
}

/** How many in a second. */
export function rate(value) {
  if (value == null) return UNKNOWN;
  if (value === 0) return "0";
  return value < 0.1 ? "< 0.1" : short(value);
}

const BYTES = ["B", "KiB", "MiB", "GiB", "TiB"];

export function bytes(value) {
  if (value == null) return UNKNOWN;
  let unit = 0;
  let amount = value;
  for (; amount >= 1024 && unit + 1 < BYTES.length; unit++) amount /= 1024;
  return `${unit === 0 ? grouped.format(amount) : short(amount)} ${BYTES[unit]}`;
}

/** From which on a unit is used, its seconds, its name. */
const SPANS = [
  [2 * 86_400, 86_400, "d"],
  [2 * 3600, 3600, "h"],
  [120, 60, "min"],
];

/** A span of time. */
export function span(seconds) {
  if (seconds == null) return UNKNOWN;
  const unit = SPANS.find(([from]) => seconds >= from);
  if (unit) return `${grouped.format(Math.floor(seconds / unit[1]))} ${unit[2]}`;
  return `${short(seconds)} s`;
}

/** The same where tenths say nothing. */
export const wholeSpan = (seconds) => (seconds == null || seconds >= 120 ? span(seconds) : `${Math.floor(seconds)} s`);

const clock = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });
const calendar = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });

/** When it was, by the reader's clock; `millis` since 1970. */
export function moment(millis) {
  const then = new Date(millis);
  const isToday = then.toDateString() === new Date().toDateString();
  return isToday ? clock.format(then) : `${calendar.format(then)}, ${clock.format(then)}`;
}
