/** The browser tests: Debian's Chromium, real relays, PostgreSQL and proxies (tests/browser/support). */

import { defineConfig } from "@playwright/test";
import { program } from "./tests/browser/support/programs.js";

export default defineConfig({
  testDir: "tests/browser",
  // A name that vitest passes by.
  testMatch: "*.e2e.ts",
  globalSetup: "./tests/browser/support/postgres.ts",
  outputDir: "../../target/browser-tests",
  reporter: [["list"], ["./tests/browser/support/reporter.ts"]],
  // Each test has a database, relays and pages of its own.
  fullyParallel: true,
  workers: 2,
  retries: 0,
  forbidOnly: true,
  // What is waited for is a condition. These only end what would never come.
  timeout: 90_000,
  expect: { timeout: 45_000 },
  use: {
    browserName: "chromium",
    launchOptions: {
      executablePath: program("chromium"),
      args: [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
      ],
    },
  },
});
