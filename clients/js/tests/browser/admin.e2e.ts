/** The page for operators, at work on a real relay: what it shows, and that it shows it to who listens or has a keyboard only. */

import { fileURLToPath } from "node:url";
import type { Locator, Page } from "@playwright/test";
import type { Database } from "./support/database.js";
import { test as base, expect } from "./support/fixtures.js";
import { freePort } from "./support/ports.js";
import { Relay } from "./support/relay.js";

const SCREENSHOTS = fileURLToPath(new URL("../../../../target/screenshots", import.meta.url));

/** What the browser says of a request that failed: the page's own errors are others. */
const FAILED_REQUEST = /^Failed to load resource/;

/** A room whose name would run, were it ever read as HTML. */
const HOSTILE = '<img src=x onerror="document.title=1"><script>document.title=2</script>';

interface Fixtures {
  /** Where operators ask, `http://ADDRESS`. */
  operators: string;
  watched: Relay;
  /** The page, with its first figures. Fails where it had errors. */
  admin: Page;
  /** Follows a room until the test ends or it is called off. */
  follow: (room: string) => () => void;
}

const test = base.extend<Fixtures>({
  // biome-ignore lint/correctness/noEmptyPattern: Playwright reads from the pattern what a fixture needs
  operators: async ({}, use) => {
    await use(`http://127.0.0.1:${await freePort()}`);
  },
  watched: async ({ database, operators }, use) => {
    // A few rows in a second are much.
    const options = ["--admin-listen", new URL(operators).host, "--busy-bells-per-second", "3", "--allow-firehose"];
    const relay = await Relay.start(database.url, options);
    await use(relay);
    await relay.kill();
  },
  admin: async ({ page, watched, operators }, use) => {
    expect(watched.url).not.toBe(operators);
    const errors: string[] = [];
    page.on("pageerror", (error) => errors.push(String(error)));
    page.on("console", (message) => {
      if (message.type() === "error" && !FAILED_REQUEST.test(message.text())) errors.push(message.text());
    });
    await page.goto(`${operators}/admin`);
    await expect(connection(page)).toHaveText("Live");
    await expect(page.getByRole("heading", { name: "Sources" })).toBeVisible();
    await use(page);
    expect(errors, "errors in the console").toEqual([]);
  },
  follow: async ({ watched }, use) => {
    const ends: AbortController[] = [];
    await use((room) => {
      const end = new AbortController();
      ends.push(end);
      const path = room === "*" ? "/v1/events?room=*" : `/v1/rooms/${encodeURIComponent(room)}/events`;
      const headers = { accept: "text/event-stream" };
      // It is read, so that it counts as delivered, and forgotten.
      fetch(`${watched.url}${path}`, { headers, signal: end.signal })
        .then((answer) => answer.body?.pipeTo(new WritableStream()))
        .catch(() => {});
      return () => end.abort();
    });
    for (const end of ends) end.abort();
  },
});

const connection = (page: Page): Locator => page.getByRole("banner").getByRole("status");
const section = (page: Page, name: string): Locator => page.getByRole("region", { name });
/** The row of a table that begins with `name`, and a cell of it. */
const row = (page: Page, table: string, name: string): Locator =>
  section(page, table)
    .getByRole("row")
    .filter({ has: page.getByRole("rowheader", { name, exact: true }) });
const cell = (page: Page, table: string, name: string, at: number): Locator =>
  row(page, table, name).getByRole("cell").nth(at);

/** Columns, without the one that names the row. */
const SOURCE = { state: 0, mode: 1, rows: 3, deliveries: 4 };
const ROOM = { source: 0, subscribers: 1, events: 2 };

/** A figure above 0. */
const SOME = /^(< 0\.1|[1-9]\d*(\.\d)?|0\.[1-9])$/;

const state = (page: Page): Locator => section(page, "State of the relay");

async function write(database: Database, room: string): Promise<void> {
  await database.query("insert into messages (room_id, n) values ($1, 1)", [room]);
}

test("rooms appear with their subscribers, rates move when rows are written, and both go again", async ({
  admin,
  database,
  follow,
  startWriter,
}) => {
  await expect(section(admin, "Rooms")).toContainText("Nobody is in any room.");
  const leave = follow("lobby");
  await expect(cell(admin, "Rooms", "lobby", ROOM.subscribers)).toHaveText("1");
  follow("lobby");
  await expect(cell(admin, "Rooms", "lobby", ROOM.subscribers)).toHaveText("2");
  follow("*");
  await expect(cell(admin, "Rooms", "all rooms", ROOM.subscribers)).toHaveText("1");
  await expect(cell(admin, "Rooms", "lobby", ROOM.source)).toHaveText("messages");
  await expect(section(admin, "Clients")).toContainText("SSE3");
  await expect(cell(admin, "Rooms", "lobby", ROOM.events)).toHaveText("0");
  await expect(cell(admin, "Sources", "messages", SOURCE.rows)).toHaveText("0");

  const writer = startWriter();
  for (const figure of [
    cell(admin, "Rooms", "lobby", ROOM.events),
    cell(admin, "Rooms", "all rooms", ROOM.events),
    cell(admin, "Sources", "messages", SOURCE.rows),
    cell(admin, "Sources", "messages", SOURCE.deliveries),
  ]) {
    await expect(figure).toHaveText(SOME);
  }
  await writer.stop();
  await expect(cell(admin, "Rooms", "lobby", ROOM.events)).toHaveText("0");
  await expect(cell(admin, "Sources", "messages", SOURCE.deliveries)).toHaveText("0");
  leave();
  await expect(cell(admin, "Rooms", "lobby", ROOM.subscribers)).toHaveText("1");
  await write(database, "lobby");
});

test("a tail that is busy is shown to poll, and to wait for the bell when it is quiet again", async ({
  admin,
  startWriter,
}) => {
  const mode = cell(admin, "Sources", "messages", SOURCE.mode);
  await expect(mode).toHaveText("armed");
  const writer = startWriter();
  await expect(mode).toHaveText("polling");
  await writer.stop();
  await expect(mode).toHaveText("armed");
});

test("a source that breaks is shown with the reason, and among the errors", async ({ admin, database }) => {
  await expect(state(admin).getByText("Ready", { exact: true })).toBeVisible();
  await expect(section(admin, "Recent errors")).toContainText("None since the relay started.");
  await expect(cell(admin, "Sources", "messages", SOURCE.state)).toHaveText("followed");

  await database.query("drop table messages");
  await expect(cell(admin, "Sources", "messages", SOURCE.state)).toContainText("its table is gone");
  await expect(state(admin).getByRole("status")).toContainText("Not ready");
  await expect(state(admin).getByRole("status")).toContainText("source messages: its table is gone");
  await expect(admin).toHaveTitle("Not ready – Rowcast");
  const error = section(admin, "Recent errors").getByRole("listitem").filter({ hasText: "rows can't be read" });
  await expect(error).toContainText("WARN");
  await expect(error).toContainText("source messages");
});

test("a database that is away is shown, and that it is back", async ({ admin, database }) => {
  await expect(section(admin, "Database")).toContainText(/Last bell heard\d+ s ago/);
  await database.close(true);
  await expect(state(admin).getByRole("status")).toContainText("database away");
  await expect(section(admin, "Database")).toContainText("none is heard");
  await expect(section(admin, "Recent errors").getByRole("listitem").first()).toBeVisible();
  await expect(connection(admin)).toHaveText("Live");
  await database.close(false);
  await expect(state(admin).getByRole("status")).toHaveText("Ready");
  await expect(section(admin, "Database")).toContainText(/Last bell heard\d+ s ago/);
});

test("the end of the relay is shown, and its return", async ({ admin, watched }) => {
  await watched.end();
  await expect(connection(admin)).toHaveText(/reconnecting/i);
  await expect(admin.getByText(/^What stands here is of \d\d:/)).toBeVisible();
  await expect(admin).toHaveTitle(/reconnecting – Rowcast$/i);
  await picture(admin, "away-");
  await watched.start();
  await expect(connection(admin)).toHaveText("Live");
  await expect(admin.getByText(/^What stands here is of/)).toBeHidden();
  await expect(admin).toHaveTitle("Ready – Rowcast");
});

test("a room's name is text, whatever it says", async ({ admin, follow, operators }) => {
  follow(HOSTILE);
  await expect(row(admin, "Rooms", HOSTILE)).toBeVisible();
  expect(await admin.locator("main img, main script").count()).toBe(0);
  await expect(admin).toHaveTitle("Ready – Rowcast");
  const policy = (await admin.request.get(`${operators}/admin`)).headers()["content-security-policy"] ?? "";
  for (const rule of ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"]) {
    expect(policy).toContain(rule);
  }
  expect(policy).not.toContain("unsafe");
});

test("a page of another origin reads nothing", async ({ page, watched, operators }) => {
  await page.goto(`${watched.url}/nowhere`);
  const read = (url: string) =>
    page.evaluate(async (it) => {
      try {
        return (await fetch(it)).status;
      } catch {
        return "refused";
      }
    }, url);
  expect(await read(`${watched.url}/nowhere`)).toBe(404);
  for (const path of ["/admin", "/admin/events", "/health/ready", "/metrics"]) {
    expect(await read(`${operators}${path}`), path).toBe("refused");
  }
});

test("what is selected, focused and scrolled to stays so while figures change; pausing stops them", async ({
  admin,
  context,
  operators,
  follow,
  startWriter,
}) => {
  await admin.setViewportSize({ width: 1000, height: 300 });
  for (const room of ["ada", "grace", "lobby"]) follow(room);
  await expect(row(admin, "Rooms", "lobby")).toBeVisible();
  const header = row(admin, "Rooms", "grace").getByRole("rowheader");
  await header.scrollIntoViewIfNeeded();
  await header.selectText();
  const pause = admin.getByRole("button", { name: "Pause" });
  await pause.focus();
  const top = await admin.evaluate(() => window.scrollY);
  expect(top).toBeGreaterThan(0);

  // It is the busiest now, and would go first.
  startWriter();
  await expect(cell(admin, "Rooms", "lobby", ROOM.events)).toHaveText(SOME);
  const names = section(admin, "Rooms").getByRole("rowheader");
  expect(await names.allTextContents()).toEqual(["ada", "grace", "lobby"]);
  expect(await admin.evaluate(() => String(document.getSelection()))).toBe("grace");
  await expect(pause).toBeFocused();
  expect(await admin.evaluate(() => window.scrollY)).toBe(top);
  await admin.evaluate(() => document.getSelection()?.removeAllRanges());
  await expect(names.first()).toHaveText("lobby");

  await admin.keyboard.press("Enter");
  await expect(connection(admin)).toHaveText("Paused");
  follow("late");
  const uptime = async (page: Page) => Number(/up (\d+) s/.exec(await page.getByRole("banner").innerText())?.[1]);
  const paused = await uptime(admin);
  // Another page shows that overviews have come meanwhile.
  const other = await context.newPage();
  await other.goto(`${operators}/admin`);
  await expect(row(other, "Rooms", "late")).toBeVisible();
  await expect.poll(() => uptime(other)).toBeGreaterThan(paused + 2);
  expect(await uptime(admin)).toBe(paused);
  await expect(row(admin, "Rooms", "late")).toHaveCount(0);
  await admin.getByRole("button", { name: "Go on" }).press("Enter");
  await expect(row(admin, "Rooms", "late")).toBeVisible();
});

test("whatever can be used or read has a name, and a keyboard reaches what can be used", async ({ admin, follow }) => {
  follow("lobby");
  await expect(row(admin, "Rooms", "lobby")).toBeVisible();
  const session = await admin.context().newCDPSession(admin);
  const roles = async () => {
    const { nodes } = await session.send("Accessibility.getFullAXTree");
    return nodes.filter(
      ({ ignored, role }) =>
        !ignored && ["button", "region", "table", "columnheader", "rowheader", "list"].includes(role?.value),
    );
  };
  // A phone has no room for a source that is the only one.
  for (const [width, columns] of [
    [1280, 15],
    [390, 14],
  ] as const) {
    await admin.setViewportSize({ width, height: 800 });
    const found = await roles();
    const nameless = found.filter(({ name, role }) => !name?.value && role?.value !== "list");
    expect(nameless.map(({ role }) => role?.value)).toEqual([]);
    for (const [role, count] of Object.entries({ table: 2, region: 6, columnheader: columns, rowheader: 2 })) {
      expect(found.filter((node) => node.role?.value === role).length, `${role} at ${width}`).toBe(count);
    }
  }
  await expect(admin.getByRole("main")).toHaveCount(1);
  await expect(admin.getByRole("heading", { level: 1 })).toHaveCount(1);
  await admin.keyboard.press("Tab");
  await expect(admin.getByRole("button", { name: "Pause" })).toBeFocused();
  await admin.keyboard.press("Tab");
  await admin.keyboard.press("Enter");
  await expect(admin.getByText("which each commit rings", { exact: false })).toBeVisible();
});

const LOOKS = [
  { name: "light", colorScheme: "light", viewport: { width: 1280, height: 900 } },
  { name: "dark", colorScheme: "dark", viewport: { width: 1280, height: 900 } },
  { name: "phone-light", colorScheme: "light", viewport: { width: 390, height: 844 } },
  { name: "phone-dark", colorScheme: "dark", viewport: { width: 390, height: 844 } },
] as const;

/** The page in each of its looks, to target/screenshots. Fails where something must be scrolled aside. */
async function picture(page: Page, what: string): Promise<void> {
  for (const { name, colorScheme, viewport } of LOOKS) {
    await page.setViewportSize(viewport);
    await page.emulateMedia({ colorScheme });
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
    expect(overflow, `pixels that ${name} must be scrolled aside`).toBeLessThanOrEqual(0);
    await page.screenshot({ path: `${SCREENSHOTS}/admin-${what}${name}.png`, fullPage: true, animations: "disabled" });
  }
}

test("it fits the window of a desk and of a phone, in light and dark, well and in trouble", async ({
  admin,
  database,
  follow,
  startWriter,
}) => {
  for (let n = 0; n < 12; n++) follow(`workshop-${n % 7}`);
  for (const room of ["lobby", "lobby", "*", HOSTILE, "שלום עולם", `a-long-name-${"of-many-words-".repeat(12)}`])
    follow(room);
  const writer = startWriter();
  await expect(cell(admin, "Rooms", "lobby", ROOM.events)).toHaveText(SOME);
  await picture(admin, "");
  await writer.stop();
  await database.query("drop table messages");
  await expect(section(admin, "Recent errors").getByRole("listitem").first()).toBeVisible();
  await picture(admin, "broken-");
});
