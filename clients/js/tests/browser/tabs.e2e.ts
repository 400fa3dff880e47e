/** One browser, several pages: one connection for all tabs, whoever of them is closed; and reloads. */

import type { BrowserContext, Page } from "@playwright/test";
import type { TransportName } from "../../src/types.js";
import { expect, test } from "./support/fixtures.js";
import { Follower, QUICK } from "./support/follower.js";

/** Three tabs that share, in the order in which they were opened. Returns when all of them are caught up. */
async function threeTabs(
  context: BrowserContext,
  origin: string,
  transport: TransportName = "sse",
): Promise<Follower[]> {
  const tabs: Follower[] = [];
  for (let tab = 0; tab < 3; tab++) {
    const follower = await Follower.open(await context.newPage(), origin, { ...QUICK, share: true });
    await follower.ready(transport);
    tabs.push(follower);
  }
  return tabs;
}

test("three tabs share one stream, and each gets every row once", async ({ context, gate, startWriter }) => {
  const tabs = await threeTabs(context, gate.url);
  const leaders = await Promise.all(tabs.map(async (tab) => (await tab.status()).leader));
  expect(leaders).toEqual([true, false, false]);
  const writer = startWriter();
  for (const tab of tabs) await tab.arrivesOver("sse", 20);
  const written = await writer.stop();

  for (const tab of tabs) await tab.hasExactly(written);
  expect(gate.of("sse")).toHaveLength(1);
  expect(gate.peaks.sse).toBe(1);
});

test("where streams are refused, three tabs share one long poll", async ({ context, gate, startWriter }) => {
  gate.faults.sse = 502;
  const tabs = await threeTabs(context, gate.url, "long-poll");
  const writer = startWriter();
  for (const tab of tabs) await tab.arrivesOver("long-poll", 20);
  const written = await writer.stop();

  for (const tab of tabs) await tab.hasExactly(written);
  expect(gate.peaks["long-poll"]).toBe(1);
});

test("a tab that joins while rows are written has the history and what comes, without a seam", async ({
  context,
  gate,
  startWriter,
}) => {
  const [first] = await threeTabs(context, gate.url);
  const writer = startWriter();
  await first?.arrivesOver("sse", 20);

  const late = await Follower.open(await context.newPage(), gate.url, { ...QUICK, share: true, last: 1000 });
  const before = writer.written.length;
  await expect.poll(async () => (await late.arrivals()).length).toBeGreaterThan(before + 20);
  const written = await writer.stop();

  await first?.hasExactly(written);
  await late.hasExactly(written);
  expect(gate.peaks.sse).toBe(1);
});

/** How a tab ends. */
const ENDS: [words: string, end: (page: Page) => Promise<void>][] = [
  ["is closed", (page) => page.close()],
  ["goes elsewhere", async (page) => void (await page.goto("about:blank"))],
];

for (const [words, end] of ENDS) {
  test(`the leader's tab ${words} while rows are written: another leads, and nothing is lost or repeated`, async ({
    context,
    gate,
    startWriter,
    measured,
  }) => {
    const [leader, ...others] = await threeTabs(context, gate.url);
    if (!leader) throw new Error("three tabs were opened");
    const writer = startWriter();
    for (const tab of others) await tab.arrivesOver("sse", 20);

    const endedAt = performance.now();
    await end(leader.page);
    await expect.poll(() => gate.of("sse").length).toBeGreaterThan(1);
    const tookOver = (gate.of("sse")[1]?.at ?? Number.NaN) - endedAt;
    measured(`the leader's tab ${words}: another asks for a stream ${Math.round(tookOver)} ms later`);
    const arrived = Math.max(...(await Promise.all(others.map(async (tab) => (await tab.arrivals()).length))));
    for (const tab of others) await tab.arrivesOver("sse", arrived);
    const written = await writer.stop();

    for (const tab of others) await tab.hasExactly(written);
    const leaders = async () => (await Promise.all(others.map((tab) => tab.status()))).map(({ leader }) => leader);
    await expect.poll(async () => (await leaders()).sort()).toEqual([false, true]);
    await expect.poll(() => gate.open("sse")).toBe(1);
  });
}

test("the relay is killed under tabs that share, and nothing is lost or repeated", async ({
  context,
  gate,
  relay,
  startWriter,
}) => {
  const tabs = await threeTabs(context, gate.url);
  const writer = startWriter();
  for (const tab of tabs) await tab.arrivesOver("sse", 20);

  await relay.kill();
  const before = writer.written.length;
  await expect.poll(() => writer.written.length).toBeGreaterThan(before + 20);
  await relay.start();
  for (const tab of tabs) await expect.poll(async () => (await tab.arrivals()).length).toBeGreaterThan(before);
  const written = await writer.stop();

  for (const tab of tabs) await tab.hasExactly(written);
  expect(gate.peaks.sse).toBe(1);
});

test("a reset reaches every tab once, and each goes on", async ({ context, database, gate }) => {
  const tabs = await threeTabs(context, gate.url);
  await database.insert(1);
  for (const tab of tabs) await tab.hasExactly([1]);

  await database.query("truncate messages");
  for (const tab of tabs) await expect.poll(() => tab.resets()).toMatchObject([{ code: "truncated" }]);
  await database.insert(2);

  for (const tab of tabs) {
    await tab.hasExactly([1, 2]);
    expect(await tab.resets()).toHaveLength(1);
  }
});

test("a reload resumes where the page was, without a hole or a repeat", async ({ page, gate, startWriter }) => {
  const options = { ...QUICK, persist: true, ledger: true };
  const follower = await Follower.open(page, gate.url, options);
  await follower.ready();
  const writer = startWriter();
  await follower.arrivesOver("sse", 20);

  for (let reload = 0; reload < 3; reload++) {
    const before = writer.written.length;
    await page.reload();
    // Nobody listens now.
    await expect.poll(() => writer.written.length).toBeGreaterThan(before + 10);
    await Follower.begin(page, options);
    await follower.arrivesOver("sse", before + 10);
  }

  await follower.hasExactly(await writer.stop());
});

test("a browser that was offline goes on where it was", async ({ page, context, database, gate }) => {
  const follower = await Follower.open(page, gate.url, QUICK);
  await follower.ready("sse");
  await database.insert(1);
  await follower.hasExactly([1]);

  await context.setOffline(true);
  gate.cut("sse");
  await expect.poll(async () => (await follower.status()).state).toBe("waiting");
  for (const n of [2, 3, 4]) await database.insert(n);
  await context.setOffline(false);

  await follower.hasExactly([1, 2, 3, 4]);
});
