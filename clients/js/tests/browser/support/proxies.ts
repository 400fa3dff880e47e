/** Real proxies before a relay, in the foreground, as whoever runs the tests, with the configuration that people have. */

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createConnection } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "./ports.js";
import { Process } from "./process.js";
import { program } from "./programs.js";

/** How a proxy is started in its directory: what to run, and which files it reads. */
interface Recipe {
  name: "nginx" | "haproxy" | "caddy";
  /** Of the configuration file's path, the arguments. */
  arguments: (file: string, directory: string) => string[];
  /** The configuration, from the proxy's own port and the relay's address. */
  configuration: (port: number, relay: string, directory: string) => string;
}

/**
 * nginx as Debian sets it up (buffering, HTTP/1.0 to the server behind it) but for paths, daemon and users; `directives` stand
 * in the location beside `proxy_pass`.
 */
function nginx(...directives: string[]): Recipe {
  const kinds = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
  return {
    name: "nginx",
    arguments: (file, directory) => ["-p", directory, "-c", file, "-e", "stderr"],
    configuration: (port, relay, directory) => `
      daemon off;
      master_process off;
      pid ${directory}/nginx.pid;
      events { worker_connections 768; }
      http {
        ${kinds.map((kind) => `${kind}_temp_path ${directory}/${kind};`).join("\n        ")}
        access_log off;
        sendfile on;
        tcp_nopush on;
        gzip on;
        server {
          listen 127.0.0.1:${port};
          location / {
            proxy_pass http://${relay};
            ${directives.join("\n            ")}
          }
        }
      }
    `,
  };
}

/** HAProxy with the defaults of Debian's haproxy.cfg. */
const HAPROXY: Recipe = {
  name: "haproxy",
  arguments: (file) => ["-db", "-f", file],
  configuration: (port, relay) => `
defaults
    mode http
    option dontlognull
    timeout connect 5000
    timeout client  50000
    timeout server  50000
frontend browsers
    bind 127.0.0.1:${port}
    default_backend relays
backend relays
    server relay ${relay}
`,
};

const CADDY: Recipe = {
  name: "caddy",
  arguments: (file) => ["run", "--adapter", "caddyfile", "--config", file],
  configuration: (port, relay) => `
{
  admin off
  auto_https off
}
http://127.0.0.1:${port} {
  reverse_proxy ${relay}
}
`,
};

/** By the words that the README has for them. */
export const PROXIES = {
  "nginx, `proxy_pass` alone": nginx(),
  "nginx, HTTP/1.1 to the relay": nginx("proxy_http_version 1.1;", 'proxy_set_header Connection "";'),
  "nginx that ignores `X-Accel-Buffering`": nginx("proxy_ignore_headers X-Accel-Buffering;"),
  "HAProxy, Debian's time-outs": HAPROXY,
  "Caddy, `reverse_proxy`": CADDY,
} satisfies Record<string, Recipe>;

export class ProxyServer {
  private constructor(
    /** What it listens on, `http://ADDRESS`. */
    readonly url: string,
    private readonly process: Process,
    private readonly directory: string,
  ) {}

  /** Returns when it takes connections. */
  static async start(recipe: Recipe, relayUrl: string): Promise<ProxyServer> {
    const directory = await mkdtemp(join(tmpdir(), `rowcast-${recipe.name}-`));
    const file = join(directory, "configuration");
    const port = await freePort();
    await writeFile(file, recipe.configuration(port, new URL(relayUrl).host, directory));
    const process = new Process(program(recipe.name), recipe.arguments(file, directory), {
      cwd: directory,
      // Caddy keeps its state there.
      env: { XDG_DATA_HOME: directory, XDG_CONFIG_HOME: directory },
    });
    const proxy = new ProxyServer(`http://127.0.0.1:${port}`, process, directory);
    try {
      await proxy.#takesConnections(port);
    } catch (error) {
      await proxy.end();
      throw error;
    }
    return proxy;
  }

  async end(): Promise<void> {
    await this.process.kill();
    await rm(this.directory, { recursive: true });
  }

  /** Not all of them say when they listen. */
  async #takesConnections(port: number): Promise<void> {
    while (!(await connects(port))) {
      if (this.process.ended !== undefined) {
        throw new Error(`the proxy ended (${this.process.ended}):\n${this.process.lines.join("\n")}`);
      }
    }
  }
}

function connects(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection(port, "127.0.0.1");
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    // Refused at once while nobody listens: no busier than this.
    socket.once("error", () => setTimeout(resolve, 20, false));
  });
}
