/** `rowcast serve` on a test's database, to be killed and started again. */

import { freePort } from "./ports.js";
import { Process } from "./process.js";
import { program } from "./programs.js";

export class Relay {
  /** What it listens on, `http://ADDRESS`; the same after a restart. */
  readonly url: string;
  readonly #arguments: string[];
  #process: Process | undefined;

  private constructor(databaseUrl: string, port: number, options: string[]) {
    this.url = `http://127.0.0.1:${port}`;
    // Browsers come back soon, the end doesn't wait for those that stay, and heartbeats can be waited for.
    const settings = ["--retry", "100ms", "--grace-period", "500ms", "--heartbeat", "1s", ...options];
    this.#arguments = ["serve", "--database-url", databaseUrl, "--listen", `127.0.0.1:${port}`, ...settings];
  }

  /** Returns when it listens. `options` are flags of `rowcast serve`. */
  static async start(databaseUrl: string, options: string[] = []): Promise<Relay> {
    const relay = new Relay(databaseUrl, await freePort(), options);
    await relay.start();
    return relay;
  }

  /** Starts it (again), on its port. */
  async start(): Promise<void> {
    this.#process = new Process(program("rowcast"), this.#arguments);
    await this.#process.line(/listening on http:/);
  }

  /** Ends it in an orderly way: streams get their `end`. */
  async end(): Promise<void> {
    await this.#process?.end();
  }

  /** `kill -9`. */
  async kill(): Promise<void> {
    await this.#process?.kill();
  }
}
