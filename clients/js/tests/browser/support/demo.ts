/** `rowcast demo` of one test's own: its switches are for everybody who looks at it. */

import { Process } from "./process.js";
import { program } from "./programs.js";

export class Demo {
  private constructor(
    /** Its page's origin, `http://ADDRESS`. */
    readonly url: string,
    /** The superuser's, of its database. */
    readonly databaseUrl: string,
    private readonly process: Process,
  ) {}

  /** Returns when it can be looked at. */
  static async start(): Promise<Demo> {
    const chosen = process.env.ROWCAST_PG_BIN;
    const demo = new Process(program("rowcast"), ["demo", "--listen", "127.0.0.1:0"], {
      env: chosen ? { ROWCAST_PG_BIN: chosen } : {},
    });
    try {
      const [url] = await demo.line(/http:\/\/[\d.:]+(?=\/)/);
      const [databaseUrl] = await demo.line(/postgres:\/\/[^\s'"]+/);
      return new Demo(url, databaseUrl, demo);
    } catch (error) {
      await demo.end();
      throw error;
    }
  }

  /** Ends it, its server and all that it has. */
  end(): Promise<void> {
    return this.process.end();
  }
}
