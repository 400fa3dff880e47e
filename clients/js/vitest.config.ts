/** Unit tests only: those of tests/browser are Playwright's. */

import { defineConfig } from "vitest/config";

export default defineConfig({
  test: { include: ["tests/unit/**/*.test.{ts,tsx}"], restoreMocks: true, unstubGlobals: true, testTimeout: 15_000 },
});
