/**
 * An HTTP proxy of the tests before a relay, that breaks as it is told to and counts what passes.
 *
 * Between faults it passes bytes on as they come, both ways.
 */

import { createServer, type IncomingMessage, request, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { TransportName } from "../../../src/types.js";

/** What a request asks for; `other` is everything but events. */
export type Kind = TransportName | "other";

/** What becomes of requests: `swallow` answers with a head and then nothing; a number refuses them with that status. */
export type Fault = "pass" | "swallow" | number;

/** A request that came. */
export interface Passage {
  kind: Kind;
  query: URLSearchParams;
  /** When it came, `performance.now()`, in ms. */
  at: number;
  /** What it was answered with; undefined until it is. */
  status: number | undefined;
  /** Heartbeats that have passed to the client. */
  heartbeats: number;
}

export class Gate {
  readonly url: string;
  /** By kind; what isn't named passes. */
  readonly faults: Partial<Record<Kind, Fault>> = {};
  /** The bearer token that events are given for; undefined: none is asked for. */
  token: string | undefined;
  /** Every request for events, in order. */
  readonly passages: Passage[] = [];
  /** By kind, the most requests that were under way at a time. */
  readonly peaks: Partial<Record<Kind, number>> = {};
  readonly #open = new Map<ServerResponse, Kind>();
  readonly #answers = new WeakMap<ServerResponse, IncomingMessage>();
  readonly #server;

  private constructor(
    readonly relayUrl: string,
    server: ReturnType<typeof createServer>,
  ) {
    this.#server = server;
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    server.on("request", (incoming: IncomingMessage, response: ServerResponse) => this.#handle(incoming, response));
  }

  static async start(relayUrl: string): Promise<Gate> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return new Gate(relayUrl, server);
  }

  /** How many requests of a kind are under way: open streams, waiting long polls. */
  open(kind: Kind): number {
    return [...this.#open.values()].filter((it) => it === kind).length;
  }

  /** The requests of a kind that have come. */
  of(kind: Kind): Passage[] {
    return this.passages.filter((passage) => passage.kind === kind);
  }

  /** Cuts the connections of all requests of a kind that are under way. */
  cut(kind: Kind): void {
    for (const [response, itsKind] of this.#open) if (itsKind === kind) response.destroy();
  }

  /** Nothing more comes of what is under way, and its connections stay. */
  freeze(kind: Kind): void {
    for (const [response, itsKind] of this.#open) if (itsKind === kind) this.#answers.get(response)?.unpipe(response);
  }

  /** From now on a kind meets a fault, also what is under way. */
  breaks(kind: Kind, fault: Fault): void {
    this.faults[kind] = fault;
    this.cut(kind);
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await closed;
  }

  #handle(incoming: IncomingMessage, response: ServerResponse): void {
    const kind = kindOf(incoming);
    const passage: Passage = {
      kind,
      query: new URL(incoming.url ?? "/", this.url).searchParams,
      at: performance.now(),
      status: undefined,
      heartbeats: 0,
    };
    if (kind !== "other") this.passages.push(passage);
    this.#open.set(response, kind);
    this.peaks[kind] = Math.max(this.peaks[kind] ?? 0, this.open(kind));
    response.on("close", () => this.#open.delete(response));

    const fault = this.faults[kind] ?? "pass";
    const refused = kind !== "other" && this.token && incoming.headers.authorization !== `Bearer ${this.token}`;
    const status = refused ? 401 : fault;
    if (typeof status === "number") {
      passage.status = status;
      refuse(response, status);
    } else if (status === "swallow") {
      passage.status = 200;
      response.writeHead(200, { "content-type": kind === "sse" ? "text/event-stream" : "application/json" });
      response.flushHeaders();
    } else {
      this.#pass(incoming, response, passage);
    }
  }

  #pass(incoming: IncomingMessage, response: ServerResponse, passage: Passage): void {
    const { method = "GET", url = "/", headers } = incoming;
    const onward = request(new URL(url, this.relayUrl), { method, headers, agent: false }, (answer) => {
      passage.status = answer.statusCode;
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      response.flushHeaders();
      answer.on("data", (piece: Buffer) => {
        // A comment, and nothing else in the relay's streams is one.
        if (piece.includes("\n:") || piece.subarray(0, 1).toString() === ":") passage.heartbeats++;
      });
      answer.pipe(response);
      this.#answers.set(response, answer);
      answer.on("error", () => response.destroy());
    });
    // A relay that is away is a connection that is cut.
    onward.on("error", () => response.destroy());
    response.on("close", () => onward.destroy());
    incoming.pipe(onward);
  }
}

function kindOf(incoming: IncomingMessage): Kind {
  const url = new URL(incoming.url ?? "/", "http://gate");
  if (incoming.method !== "GET" || !url.pathname.endsWith("/events")) return "other";
  if (incoming.headers.accept?.includes("text/event-stream")) return "sse";
  return url.searchParams.has("wait") ? "long-poll" : "poll";
}

function refuse(response: ServerResponse, status: number): void {
  response.writeHead(status, { "content-type": "application/problem+json" });
  response.end(JSON.stringify({ status, code: status === 401 ? "unauthorized" : "broken_by_the_test" }));
}
