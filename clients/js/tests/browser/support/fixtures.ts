/** What tests stand on: a database, a relay and a gate of their own, started when a test names them, ended after it. */

import { test as base } from "@playwright/test";
import { Database } from "./database.js";
import { Demo } from "./demo.js";
import { Gate } from "./gate.js";
import { Relay } from "./relay.js";
import { Writer } from "./writer.js";

interface Fixtures {
  demo: Demo;
  database: Database;
  relay: Relay;
  /** Before the relay. */
  gate: Gate;
  /** Starts to write rows. Where the test fails, it is stopped with it. */
  startWriter: () => Writer;
  /** Puts a figure into the run's report. */
  measured: (text: string) => void;
}

let databases = 0;

export const test = base.extend<Fixtures>({
  // biome-ignore lint/correctness/noEmptyPattern: Playwright reads from the pattern what a fixture needs
  database: async ({}, use, testInfo) => {
    const database = await Database.create(`browser_${testInfo.workerIndex}_${databases++}`);
    await use(database);
    await database.drop();
  },
  // biome-ignore lint/correctness/noEmptyPattern: as above
  demo: async ({}, use) => {
    const demo = await Demo.start();
    await use(demo);
    await demo.end();
  },
  relay: async ({ database }, use) => {
    const relay = await Relay.start(database.url);
    await use(relay);
    await relay.kill();
  },
  gate: async ({ relay }, use) => {
    const gate = await Gate.start(relay.url);
    await use(gate);
    await gate.close();
  },
  startWriter: async ({ database }, use) => {
    const writers: Writer[] = [];
    await use(() => {
      const writer = new Writer(database);
      writers.push(writer);
      return writer;
    });
    await Promise.all(writers.map((writer) => writer.stop()));
  },
  // biome-ignore lint/correctness/noEmptyPattern: as above
  measured: async ({}, use, testInfo) => {
    await use((description) => void testInfo.annotations.push({ type: "measured", description }));
  },
});

export { expect } from "@playwright/test";
