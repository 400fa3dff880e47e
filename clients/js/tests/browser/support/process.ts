/** A program that a test has started: its output, its end. */

import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";

export interface StartOptions {
  env?: Record<string, string>;
  cwd?: string;
}

/** A running (or ended) program. Whoever starts it ends it, by `end` or `kill`, whatever became of the test. */
export class Process {
  /** What it has printed, stdout and stderr, by lines. */
  readonly lines: string[] = [];
  /** Its exit code, or the signal that ended it; undefined while it runs. */
  ended: number | string | undefined;
  readonly #child: ChildProcess;
  readonly #over: Promise<void>;
  readonly #name: string;
  #onChange: () => void = () => {};

  /** Starts it with no variables of the machine's user but PATH, HOME and what `options` give. */
  constructor(program: string, args: string[], options: StartOptions = {}) {
    this.#name = `${program} ${args[0] ?? ""}`;
    const inherited = { PATH: process.env.PATH, HOME: process.env.HOME };
    this.#child = spawn(program, args, {
      cwd: options.cwd,
      env: { ...inherited, ...options.env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    for (const output of [this.#child.stdout, this.#child.stderr]) {
      if (!output) throw new Error("its output is piped");
      createInterface({ input: output }).on("line", (line) => {
        this.lines.push(line);
        this.#onChange();
      });
    }
    this.#over = new Promise((resolve) => {
      const over = (how: number | string) => {
        this.ended = how;
        this.#onChange();
        resolve();
      };
      this.#child.on("error", (error) => over(error.message));
      this.#child.on("close", (code, signal) => over(code ?? signal ?? "ended"));
    });
  }

  /** The first match of `pattern` in a line, when it is printed. Throws with all of the output where the program ends first. */
  async line(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      for (const line of this.lines) {
        const match = pattern.exec(line);
        if (match) return match;
      }
      if (this.ended !== undefined) {
        throw new Error(`${this.#name} ended (${this.ended}) before it printed ${pattern}:\n${this.lines.join("\n")}`);
      }
      await new Promise<void>((resolve) => {
        this.#onChange = resolve;
      });
    }
  }

  /** SIGTERM, and waits for the end. */
  end(): Promise<void> {
    return this.#signal("SIGTERM");
  }

  /** SIGKILL, and waits for the end. */
  kill(): Promise<void> {
    return this.#signal("SIGKILL");
  }

  /** Waits until it ends by itself. */
  over(): Promise<void> {
    return this.#over;
  }

  async #signal(signal: NodeJS.Signals): Promise<void> {
    if (this.ended === undefined) this.#child.kill(signal);
    await this.#over;
  }
}

/** Runs a program to its end. Throws with its output where it fails. */
export async function run(program: string, args: string[]): Promise<void> {
  const process = new Process(program, args);
  await process.over();
  if (process.ended !== 0) throw new Error(`${program} ${args[0]} failed:\n${process.lines.join("\n")}`);
}
