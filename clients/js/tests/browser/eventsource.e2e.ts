/** The browser's own EventSource against a relay: what a page has that uses no client of ours. */

import type { Page } from "@playwright/test";
import { EVENTS } from "./support/database.js";
import { expect, test } from "./support/fixtures.js";

/** What the page keeps of its EventSource. */
interface Heard {
  /** How often `ready` came. */
  readies: number;
  numbers: number[];
}

declare global {
  interface Window {
    heard: Heard;
  }
}

/** Opens a page of the relay's origin with an EventSource in it, and waits for its first `ready`. */
async function listen(page: Page, origin: string): Promise<void> {
  await page.goto(`${origin}/health/live`);
  await page.evaluate((path) => {
    window.heard = { readies: 0, numbers: [] };
    const source = new EventSource(path);
    source.addEventListener("ready", () => window.heard.readies++);
    source.addEventListener("message", (event) => window.heard.numbers.push(JSON.parse(event.data).row.n));
  }, EVENTS);
  await expect.poll(() => readies(page)).toBe(1);
}

const readies = (page: Page) => page.evaluate(() => window.heard.readies);
const numbers = (page: Page) => page.evaluate(() => window.heard.numbers);

test("an EventSource resumes after a restart of the relay, without a hole", async ({ page, database, relay }) => {
  await listen(page, relay.url);
  await database.insert(1);
  await expect.poll(() => numbers(page)).toEqual([1]);

  await relay.kill();
  for (const n of [2, 3, 4]) await database.insert(n);
  await relay.start();
  await expect.poll(() => readies(page)).toBe(2);
  await database.insert(5);

  await expect.poll(() => numbers(page)).toContain(5);
  expect(await numbers(page)).toEqual([1, 2, 3, 4, 5]);
});

test("an EventSource that was only told ready resumes from there", async ({ page, database, relay }) => {
  await listen(page, relay.url);

  await relay.kill();
  for (const n of [1, 2, 3]) await database.insert(n);
  await relay.start();

  await expect.poll(() => numbers(page)).toContain(3);
  expect(await numbers(page)).toEqual([1, 2, 3]);
});

test("an EventSource resumes after an orderly end of the relay, too", async ({ page, database, relay }) => {
  await listen(page, relay.url);

  await relay.end();
  for (const n of [1, 2, 3]) await database.insert(n);
  await relay.start();

  await expect.poll(() => numbers(page)).toContain(3);
  expect(await numbers(page)).toEqual([1, 2, 3]);
});
