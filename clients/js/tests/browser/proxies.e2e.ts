/** The client behind real proxies: which transport it ends on, and that each row arrives once. */

import type { TransportName } from "../../src/types.js";
import { expect, test } from "./support/fixtures.js";
import { Follower, IMPATIENT } from "./support/follower.js";
import { PROXIES, ProxyServer } from "./support/proxies.js";
import { writeConcurrently } from "./support/writer.js";

const ROWS = 1000;

/** The table in the README, and the transport that is written there. */
const EXPECTED: Record<keyof typeof PROXIES, TransportName> = {
  "nginx, `proxy_pass` alone": "sse",
  "nginx, HTTP/1.1 to the relay": "sse",
  "nginx that ignores `X-Accel-Buffering`": "long-poll",
  "HAProxy, Debian's time-outs": "sse",
  "Caddy, `reverse_proxy`": "sse",
};

for (const [name, recipe] of Object.entries(PROXIES)) {
  const expected = EXPECTED[name as keyof typeof PROXIES];
  test(`${name}: each of ${ROWS} rows arrives once, over ${expected}`, async ({ page, database, relay, measured }) => {
    const proxy = await ProxyServer.start(recipe, relay.url);
    try {
      // As a page has it: no option shortens a wait.
      const follower = await Follower.open(page, proxy.url);
      await follower.ready();
      await writeConcurrently(database, ROWS);

      await expect.poll(async () => (await follower.arrivals()).length).toBeGreaterThanOrEqual(ROWS);
      // Whatever came twice came before this one.
      await database.insert(ROWS);
      await expect.poll(() => follower.numbers()).toContain(ROWS);
      const numbers = await follower.numbers();
      expect(numbers.sort((a, b) => a - b)).toEqual(Array.from({ length: ROWS + 1 }, (_, n) => n));

      await follower.ready(expected);
      measured(`| ${name} | ${expected} | ${numbers.length - 1} of ${ROWS} rows, each once |`);
    } finally {
      await proxy.end();
    }
  });
}

test("behind nginx that holds streams back, one that is tried again while rows pour in loses none", async ({
  page,
  database,
  relay,
}) => {
  const proxy = await ProxyServer.start(PROXIES["nginx that ignores `X-Accel-Buffering`"], relay.url);
  try {
    // Many rows fill its buffers: then a stream opens after all, and holds back the last rows when they are over.
    const options = { ...IMPATIENT, climbAfter: 200, silenceTimeout: 2000 };
    const follower = await Follower.open(page, proxy.url, options);
    await follower.ready();
    await writeConcurrently(database, ROWS);

    await expect.poll(async () => (await follower.arrivals()).length).toBeGreaterThanOrEqual(ROWS);
    expect((await follower.numbers()).sort((a, b) => a - b)).toEqual(Array.from({ length: ROWS }, (_, n) => n));
  } finally {
    await proxy.end();
  }
});
