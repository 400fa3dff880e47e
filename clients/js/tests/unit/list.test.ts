/** The picture of a room, kept from its events. */

import { expect, test } from "vitest";
import { type RowEvent, RowList, type RowListOptions } from "../../src/index.js";
import { forSeeds } from "./support/random.js";

interface Task {
  name: string;
  rank: number;
}

const insert = (id: number | null, row: Task | null, key?: object) =>
  ({ op: "insert", id, room: "7", row, ...(key && { key }) }) as RowEvent<Task>;
const change = (op: "update" | "delete", id: number, key: object, row: Task | null = null) =>
  ({ op, id, room: "7", key, row }) as RowEvent<Task>;
const task = (name: string, rank = 0): Task => ({ name, rank });

function listOf(events: RowEvent<Task>[], options: RowListOptions<Task> = {}): RowList<Task> {
  const list = new RowList<Task>(options);
  for (const event of events) list.apply(event);
  return list;
}
const names = (list: RowList<Task>) => list.rows.map(({ name }) => name).join("");

test("rows stand in the order of arrival, and a repeat is no second row", () => {
  expect(names(listOf([insert(2, task("b")), insert(1, task("a")), insert(2, task("b"))]))).toBe("ba");
});

test("an update changes its row where it stands, a delete takes it away", () => {
  const list = listOf([
    insert(1, task("a"), { id: 1 }),
    insert(2, task("b"), { id: 2 }),
    insert(3, task("c"), { id: 3 }),
  ]);
  list.apply(change("update", 4, { id: 2 }, task("B")));
  expect(names(list)).toBe("aBc");
  list.apply(change("delete", 5, { id: 2 }));
  expect(names(list)).toBe("ac");
});

test("rows that `last` listed without an id are known by their key", () => {
  const list = listOf([insert(null, task("a"), { id: 1 }), insert(null, task("b"), { id: 2 })]);
  list.apply(change("update", 17, { id: 1 }, task("A")));
  expect(names(list)).toBe("Ab");
});

test("keys of several columns are told apart", () => {
  expect(names(listOf([insert(1, task("a"), { x: 1, y: 2 }), insert(2, task("b"), { x: 1, y: 3 })]))).toBe("ab");
});

test("an update or a delete of a row that is not here passes by", () => {
  const list = listOf([insert(1, task("a"), { id: 1 })]);
  const before = list.rows;
  list.apply(change("update", 2, { id: 9 }, task("z")));
  expect(names(list)).toBe("a");
  list.apply(change("delete", 3, { id: 9 }));
  expect(names(list)).toBe("a");
  expect(before).toEqual(list.rows);
});

test("a row that is too large to be sent changes nothing", () => {
  const list = listOf([insert(1, task("a"), { id: 1 })]);
  list.apply({ ...change("update", 2, { id: 1 }), truncated: true });
  list.apply({ ...insert(3, null, { id: 3 }), truncated: true });
  expect(names(list)).toBe("a");
});

test("`compare` gives the order, after updates too", () => {
  const compare = (a: Task, b: Task) => a.rank - b.rank;
  const list = listOf([insert(1, task("b", 2), { id: 1 }), insert(2, task("a", 1), { id: 2 })], { compare });
  expect(names(list)).toBe("ab");
  list.apply(change("update", 3, { id: 2 }, task("c", 3)));
  expect(names(list)).toBe("bc");
});

test("`limit` keeps the last ones in the order, whatever that is", () => {
  const events = [insert(1, task("c", 3)), insert(2, task("a", 1)), insert(3, task("b", 2)), insert(4, task("d", 4))];
  expect(names(listOf(events, { limit: 2 }))).toBe("bd");
  expect(names(listOf(events, { limit: 2, compare: (a, b) => a.rank - b.rank }))).toBe("cd");
});

test("the array is the same until something changes, and another one then", () => {
  const list = listOf([insert(1, task("a"), { id: 1 })]);
  const { rows } = list;
  expect(list.rows).toBe(rows);
  list.apply(change("update", 2, { id: 1 }, task("A")));
  expect(list.rows).not.toBe(rows);
  expect(rows).toEqual([task("a")]);
});

test("`clear` drops all", () => {
  const list = listOf([insert(1, task("a"))]);
  list.clear();
  expect(list.rows).toEqual([]);
  list.apply(insert(1, task("a")));
  expect(names(list)).toBe("a");
});

test("any events give what a table would have after them", async () => {
  await forSeeds(200, (random) => {
    const list = new RowList<Task>({ compare: (a, b) => a.rank - b.rank });
    const table = new Map<number, Task>();
    for (let id = 1; id < 60; id++) {
      const key = random.int(1, 8);
      const row = task(`${id}`, key);
      const op = random.pick(["insert", "update", "delete"] as const);
      list.apply({ op, id, room: "7", key: { key }, row: op === "delete" ? null : row });
      if (op === "delete") table.delete(key);
      else if (op === "insert" || table.has(key)) table.set(key, row);
    }
    expect(list.rows).toEqual([...table.values()].sort((a, b) => a.rank - b.rank));
  });
});
