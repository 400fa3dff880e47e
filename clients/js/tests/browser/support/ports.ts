/** Ports for programs that can't say which one they were given, or that must come back on the one they had. */

import { createServer } from "node:net";

/** Below those that the kernel hands out for outgoing connections: nobody takes it while its program is down. */
const FIRST = 10_000;
const COUNT = 10_000;

/** A port on 127.0.0.1 that nobody listens on. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = FIRST + Math.floor(Math.random() * COUNT);
    if (await isFree(port)) return port;
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}
