/** The run's PostgreSQL: that of a `rowcast demo`, private, on a free port, and gone when the demo ends. */

import { Demo } from "./demo.js";

/** The superuser's URL of a database in it; every test makes a database of its own beside it. */
export const DATABASE_VARIABLE = "ROWCAST_TEST_DATABASE_URL";

/** Starts it before the first test. Returns what ends it after the last. */
export default async function start(): Promise<() => Promise<void>> {
  const demo = await Demo.start();
  process.env[DATABASE_VARIABLE] = demo.databaseUrl;
  return () => demo.end();
}
