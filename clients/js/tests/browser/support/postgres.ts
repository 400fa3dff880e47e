/**
 * The run's PostgreSQL: that of `rowcast demo`, private, on a free port, and gone when the demo ends. Its relay serves the
 * page that demo.e2e.ts looks at.
 */

import { Process } from "./process.js";
import { program } from "./programs.js";

/** The superuser's URL of the demo's database; every test makes a database of its own beside it. */
export const DATABASE_VARIABLE = "ROWCAST_TEST_DATABASE_URL";
/** What the demo's relay listens on, `http://ADDRESS`. */
export const DEMO_VARIABLE = "ROWCAST_TEST_DEMO_URL";

/** Starts it before the first test. Returns what ends it after the last. */
export default async function start(): Promise<() => Promise<void>> {
  const chosen = process.env.ROWCAST_PG_BIN;
  const demo = new Process(program("rowcast"), ["demo", "--listen", "127.0.0.1:0"], {
    env: chosen ? { ROWCAST_PG_BIN: chosen } : {},
  });
  try {
    const [page] = await demo.line(/http:\/\/[\d.:]+(?=\/)/);
    const [database] = await demo.line(/postgres:\/\/[^\s'"]+/);
    process.env[DEMO_VARIABLE] = page;
    process.env[DATABASE_VARIABLE] = database;
  } catch (error) {
    await demo.end();
    throw error;
  }
  return () => demo.end();
}
