/** A database of one test's own, with the table `messages` attached. */

import { Client } from "pg";
import { DATABASE_VARIABLE } from "./postgres.js";
import { run } from "./process.js";
import { program } from "./programs.js";

/** The room that the tests follow. */
export const ROOM = "lobby";
/** Its path, for a page of the relay's origin. */
export const EVENTS = `/v1/rooms/${ROOM}/events`;

const SCHEMA = `
  create table messages (
    id      bigint generated always as identity primary key,
    room_id text not null,
    n       integer not null
  );
  create index on messages (room_id, id);
`;

export class Database {
  readonly #sessions: Client[] = [];

  private constructor(
    /** The superuser's. */
    readonly url: string,
    private readonly name: string,
  ) {}

  /** Creates it. */
  static async create(name: string): Promise<Database> {
    await administer(`create database ${name}`);
    const url = new URL(serverUrl());
    url.pathname = `/${name}`;
    const database = new Database(url.href, name);
    try {
      const session = await database.connect();
      await session.query(SCHEMA);
      await run(program("rowcast"), ["attach", "messages", "--room", "room_id", "--database-url", database.url]);
    } catch (error) {
      await database.drop();
      throw error;
    }
    return database;
  }

  /** One more session. It ends with the database. */
  async connect(): Promise<Client> {
    const session = new Client({ connectionString: this.url });
    await session.connect();
    this.#sessions.push(session);
    return session;
  }

  async query(text: string, values: unknown[] = []): Promise<Record<string, unknown>[]> {
    const session = this.#sessions[0];
    if (!session) throw new Error("the database has a session from the start");
    return (await session.query(text, values)).rows;
  }

  /** Commits one row with the number `n` into the room. */
  async insert(n: number): Promise<void> {
    await this.query("insert into messages (room_id, n) values ($1, $2)", [ROOM, n]);
  }

  /** Lets nobody in any more, and ends who is there; or lets them in again. The test's own sessions end with them. */
  async close(isClosed: boolean): Promise<void> {
    await administer(`alter database ${this.name} allow_connections ${!isClosed}`);
    if (!isClosed) return;
    await Promise.all(this.#sessions.splice(0).map((session) => session.end()));
    await administer(`select pg_terminate_backend(pid) from pg_stat_activity where datname = '${this.name}'`);
  }

  async drop(): Promise<void> {
    await Promise.all(this.#sessions.map((session) => session.end()));
    await administer(`drop database ${this.name} with (force)`);
  }
}

async function administer(statement: string): Promise<void> {
  const session = new Client({ connectionString: serverUrl() });
  await session.connect();
  try {
    await session.query(statement);
  } finally {
    await session.end();
  }
}

function serverUrl(): string {
  const url = process.env[DATABASE_VARIABLE];
  if (!url) throw new Error(`${DATABASE_VARIABLE} is set by postgres.ts`);
  return url;
}
