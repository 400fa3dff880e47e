/** Prints what tests have measured: their annotations of the type `measured`. */

import type { Reporter, TestCase } from "@playwright/test/reporter";

export default class MeasuredReporter implements Reporter {
  readonly #measured: string[] = [];

  onTestEnd(test: TestCase): void {
    for (const { type, description } of test.annotations) {
      if (type === "measured" && description) this.#measured.push(description);
    }
  }

  onEnd(): void {
    if (this.#measured.length) console.log(`\n${this.#measured.sort().join("\n")}`);
  }

  printsToStdio(): boolean {
    return false;
  }
}
