/** How long a change took from its commit to this page, and a strip of the last ones. */

const BARS = 30;
/** The strip's scale is logarithmic, between these: 1 ms and 10 s. */
const DECADES = 4;

/**
 * Milliseconds since 1970, finer than `Date.now()`. The fine clock stands still while a laptop sleeps, and nobody sets
 * it: where the two disagree the coarse one is right.
 */
export function now() {
  const fine = performance.timeOrigin + performance.now();
  return Math.abs(fine - Date.now()) < 20 ? fine : Date.now();
}

/** A timestamp as PostgreSQL writes it in JSON, in ms since 1970, with its microseconds, which `Date.parse` drops. */
export function parseTime(text) {
  const fraction = /\.\d+/.exec(text)?.[0] ?? "";
  return Date.parse(text.replace(fraction, "")) + Number(`0${fraction || ".0"}`) * 1000;
}

/** Milliseconds in words: `0.8 ms`, `12 ms`, `3.4 s`. */
export function inWords(ms) {
  if (ms < 9.95) return `${Math.max(0, ms).toFixed(1)} ms`;
  return ms < 999.5 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

/** The last latencies as bars, each in the colour of its transport, and in words. */
export class Strip {
  #bars = [];

  constructor(element) {
    this.element = element;
  }

  add(ms, transport) {
    this.#bars.push({ ms, transport });
    if (this.#bars.length > BARS) this.#bars.shift();
    this.#draw();
  }

  clear() {
    this.#bars = [];
    this.#draw();
  }

  #draw() {
    const [svg, medianText, lastText] = ["svg", ".median", ".last"].map((part) => this.element.querySelector(part));
    const { width, height } = svg.viewBox.baseVal;
    svg.replaceChildren(
      ...this.#bars.map(({ ms, transport }, at) => {
        const share = Math.log10(Math.max(1, ms)) / DECADES;
        const tall = height * Math.min(1, 0.1 + 0.9 * share);
        const x = width - (this.#bars.length - at) * (width / BARS);
        const bar = document.createElementNS(svg.namespaceURI, "rect");
        for (const [name, value] of Object.entries({ x, y: height - tall, width: width / BARS - 1, height: tall }))
          bar.setAttribute(name, value);
        bar.dataset.transport = transport;
        return bar;
      }),
    );
    const sorted = this.#bars.map(({ ms }) => ms).sort((a, b) => a - b);
    const words = (ms) => (ms === undefined ? "–" : inWords(ms));
    medianText.textContent = words(sorted[sorted.length >> 1]);
    lastText.textContent = words(this.#bars.at(-1)?.ms);
    svg.setAttribute("aria-label", `The last ${this.#bars.length} latencies`);
  }
}
