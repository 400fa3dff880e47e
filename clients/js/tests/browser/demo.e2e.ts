/** The demo's page, as somebody finds it who looks, reads aloud or has a keyboard only. */

import { fileURLToPath } from "node:url";
import type { Locator, Page } from "@playwright/test";
import { test as base, expect } from "./support/fixtures.js";

const SCREENSHOTS = fileURLToPath(new URL("../../../../target/screenshots", import.meta.url));

/** What the browser says of a request that failed: the page's own errors are others. */
const FAILED_REQUEST = /^Failed to load resource/;

const test = base.extend<{ chat: Page }>({
  /** The page, with nobody else writing. Fails where it had errors. */
  chat: async ({ page, demo }, use) => {
    const errors: string[] = [];
    page.on("pageerror", (error) => errors.push(String(error)));
    page.on("console", (message) => {
      if (message.type() === "error" && !FAILED_REQUEST.test(message.text())) errors.push(message.text());
    });
    await page.goto(demo.url);
    await page.getByRole("button", { name: "Pause the others" }).click();
    await expect(page.getByRole("button", { name: "Let the others write" })).toBeVisible();
    for (const name of ["Ada", "Grace"]) await expect(shown(page, name, WORDS.sse)).toBeVisible();
    await use(page);
    expect(errors, "errors in the console").toEqual([]);
  },
});

/** The words that a pane shows of its connection: they are spoken, too, where something came of a try. */
const shown = (page: Page, name: string, words: string) => pane(page, name).getByText(words).first();

/** What a pane says of its transport. */
const WORDS = {
  sse: "Live: the relay pushes each change.",
  "long-poll": "Live: a request waits for the next change.",
  poll: "Not quite live: asking every few seconds.",
};

const pane = (page: Page, name: string): Locator => page.getByRole("region", { name });
const composer = (page: Page, name: string): Locator => page.getByRole("textbox", { name: `Message from ${name}` });
/** The messages with a text, as a person sees them. */
const messages = (page: Page, name: string, text: string): Locator =>
  pane(page, name).getByRole("log").getByRole("listitem").filter({ hasText: text });

async function send(page: Page, name: string, text: string): Promise<void> {
  await composer(page, name).fill(text);
  await pane(page, name).getByRole("button", { name: "Send" }).click();
}

/** Waits until both panes show the text once, as a committed row. */
async function bothShow(page: Page, text: string): Promise<void> {
  for (const name of ["Ada", "Grace"]) {
    await expect(messages(page, name, text)).toHaveCount(1);
    await expect(messages(page, name, text)).toContainText(/ by (SSE|long poll|poll)/);
  }
}

test("what one person sends shows in both panes once, and what the page waited for meets its own echo", async ({
  chat,
}) => {
  await send(chat, "Ada", "Is anybody there?");
  await bothShow(chat, "Is anybody there?");
  await send(chat, "Grace", "I am.");
  await bothShow(chat, "I am.");
  await expect(composer(chat, "Ada")).toHaveValue("");
});

test("an edit and a deletion show in both panes", async ({ chat }) => {
  await send(chat, "Ada", "A first draft");
  await bothShow(chat, "A first draft");

  await messages(chat, "Ada", "A first draft").getByRole("button", { name: "Edit" }).click();
  await chat.getByRole("textbox", { name: "New text" }).fill("The last word");
  await chat.getByRole("button", { name: "Save" }).click();
  await bothShow(chat, "The last word");
  for (const name of ["Ada", "Grace"]) {
    await expect(messages(chat, name, "A first draft")).toHaveCount(0);
    await expect(messages(chat, name, "The last word")).toContainText("edited");
  }

  await messages(chat, "Ada", "The last word").getByRole("button", { name: "Delete" }).click();
  for (const name of ["Ada", "Grace"]) await expect(messages(chat, name, "The last word")).toHaveCount(0);
});

test("one's own messages can be edited, the other's can't", async ({ chat }) => {
  await send(chat, "Ada", "This is mine");
  await bothShow(chat, "This is mine");

  await expect(messages(chat, "Ada", "This is mine").getByRole("button", { name: "Edit" })).toBeVisible();
  await expect(messages(chat, "Grace", "This is mine").getByRole("button")).toHaveCount(0);
});

test("SSE breaks, then long poll, then both are mended: the page says so, and what is sent arrives throughout", async ({
  chat,
}) => {
  const follow = async (transport: keyof typeof WORDS, text: string) => {
    for (const name of ["Ada", "Grace"]) {
      await expect(shown(chat, name, WORDS[transport])).toBeVisible();
      await expect(pane(chat, name).getByRole("status")).toHaveText(WORDS[transport]);
    }
    await send(chat, "Grace", text);
    await bothShow(chat, text);
  };
  await follow("sse", "over a stream");
  await chat.getByRole("button", { name: "Break SSE" }).click();
  await follow("long-poll", "over a long poll");
  await chat.getByRole("button", { name: "Break long poll" }).click();
  await follow("poll", "over a poll");
  await chat.getByRole("button", { name: "Mend long poll" }).click();
  await chat.getByRole("button", { name: "Mend SSE" }).click();
  await follow("sse", "over a stream again");
});

test("a message that can't be sent says so, and is sent once when one tries again", async ({ chat, context }) => {
  await context.setOffline(true);
  await send(chat, "Ada", "Into the void");
  const message = messages(chat, "Ada", "Into the void");
  await expect(message).toContainText("Not sent");

  await context.setOffline(false);
  await message.getByRole("button", { name: "Try again" }).click();
  await bothShow(chat, "Into the void");
});

test("a keyboard is enough to write, edit and delete", async ({ chat }) => {
  const { keyboard } = chat;
  /** Tab until it has the focus: to be found it must be reached. */
  const tabTo = async (target: Locator) => {
    for (let presses = 0; presses < 60; presses++) {
      if (await target.evaluate((element) => element === document.activeElement)) return;
      await keyboard.press("Tab");
    }
    throw new Error(`Tab does not reach ${target}`);
  };
  await tabTo(composer(chat, "Ada"));
  await keyboard.type("By keys alone");
  await keyboard.press("Enter");
  await bothShow(chat, "By keys alone");

  await keyboard.press("ArrowUp");
  await expect(chat.getByRole("textbox", { name: "New text" })).toBeFocused();
  await keyboard.type("By other keys");
  await keyboard.press("Enter");
  await bothShow(chat, "By other keys");

  await tabTo(messages(chat, "Ada", "By other keys").getByRole("button", { name: "Delete" }));
  await keyboard.press("Enter");
  for (const name of ["Ada", "Grace"]) await expect(messages(chat, name, "By other keys")).toHaveCount(0);
});

test("whatever can be used has a name for those who hear the page", async ({ chat }) => {
  await send(chat, "Ada", "Listen");
  await bothShow(chat, "Listen");
  const session = await chat.context().newCDPSession(chat);
  const { nodes } = await session.send("Accessibility.getFullAXTree");
  const usable = nodes.filter(
    ({ ignored, role }) => !ignored && ["button", "textbox", "combobox", "log", "list", "region"].includes(role?.value),
  );
  const nameless = usable.filter(({ name, role }) => !name?.value && role?.value !== "list");

  expect(usable.length).toBeGreaterThan(10);
  expect(nameless.map(({ role }) => role?.value)).toEqual([]);
  await expect(chat.getByRole("main")).toHaveCount(1);
  await expect(chat.getByRole("heading", { level: 1 })).toHaveCount(1);
});

const LOOKS = [
  { name: "light", colorScheme: "light", viewport: { width: 1280, height: 800 } },
  { name: "dark", colorScheme: "dark", viewport: { width: 1280, height: 800 } },
  { name: "phone-light", colorScheme: "light", viewport: { width: 390, height: 844 } },
  { name: "phone-dark", colorScheme: "dark", viewport: { width: 390, height: 844 } },
] as const;

test("it fits the window of a desk and of a phone, in light and dark (pictures in target/screenshots)", async ({
  chat,
}) => {
  await send(chat, "Ada", "Does it fit?");
  await bothShow(chat, "Does it fit?");
  for (const { name, colorScheme, viewport } of LOOKS) {
    await chat.setViewportSize(viewport);
    await chat.emulateMedia({ colorScheme });
    await expect(composer(chat, "Ada")).toBeInViewport({ ratio: 1 });
    const overflow = await chat.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
    expect(overflow, `pixels that ${name} must be scrolled aside`).toBeLessThanOrEqual(0);
    await chat.screenshot({ path: `${SCREENSHOTS}/demo-${name}.png`, animations: "disabled" });
  }
});
