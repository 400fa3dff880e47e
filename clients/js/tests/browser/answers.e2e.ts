/** What the client makes of a relay's (or a proxy's) word: tokens that expire, and answers that are final. */

import type { TransportName } from "../../src/types.js";
import { expect, test } from "./support/fixtures.js";
import { Follower, QUICK } from "./support/follower.js";

for (const transport of ["sse", "long-poll", "poll"] satisfies TransportName[]) {
  test(`over ${transport}: a token that expires is asked for anew, and nothing is lost`, async ({
    page,
    gate,
    startWriter,
  }) => {
    let calls = 0;
    gate.token = "token-1";
    await page.exposeFunction("freshToken", () => {
      calls++;
      return gate.token;
    });
    const follower = await Follower.open(page, gate.url, {
      ...QUICK,
      transports: [transport],
      token: { exposed: "freshToken" },
    });
    await follower.ready();
    const writer = startWriter();
    await follower.arrivesOver(transport, 0);
    expect(calls).toBe(1);

    gate.token = "token-2";
    gate.cut(transport);
    await expect.poll(() => calls).toBe(2);
    await follower.arrivesOver(transport, (await follower.arrivals()).length);

    await follower.hasExactly(await writer.stop());
    expect(calls).toBe(2);
    expect(gate.passages.filter((passage) => passage.status === 401)).toHaveLength(1);
  });
}

test("a token that is refused twice in a row ends it with an error", async ({ page, gate }) => {
  gate.token = "another";
  await page.exposeFunction("staleToken", () => "stale");
  const follower = await Follower.open(page, gate.url, { ...QUICK, token: { exposed: "staleToken" } });

  await expect
    .poll(() => follower.status())
    .toMatchObject({
      state: "closed",
      problem: { name: "RowcastError", status: 401, code: "unauthorized" },
    });
  expect(gate.passages).toHaveLength(2);
});

test("a token in words that is refused ends it at once", async ({ page, gate }) => {
  gate.token = "another";
  const follower = await Follower.open(page, gate.url, { ...QUICK, token: "stale" });

  await expect.poll(() => follower.status()).toMatchObject({ state: "closed", problem: { status: 401 } });
  expect(gate.passages).toHaveLength(1);
});

const FINAL = [
  { status: 403, code: "forbidden", path: "/v1/events?room=*" },
  { status: 404, code: "unknown_source", path: "/v1/sources/nothing/rooms/lobby/events" },
  { status: 400, code: "invalid_parameter", path: `/v1/rooms/${"x".repeat(1025)}/events` },
];

for (const { status, code, path } of FINAL) {
  test(`the relay's ${status} ${code} ends it with an error that says so`, async ({ page, gate }) => {
    const follower = await Follower.open(page, gate.url, { ...QUICK, path });

    await expect
      .poll(() => follower.status())
      .toMatchObject({
        state: "closed",
        problem: { name: "RowcastError", status, code },
      });
    expect(gate.passages).toHaveLength(1);
  });
}
