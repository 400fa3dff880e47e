/** Elements that stand for things with a key, updated in place: who reads, selects or tabs is not disturbed. */

/** Gives an element a text. Only where it is another one: what is selected stays selected. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** An element with a class and a text. */
export function element(tag, className = "", text = "") {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
}

/** Whether somebody is selecting in it, or has the focus there: then nothing in it moves. */
function isHeld(parent) {
  const selection = document.getSelection();
  const selects = selection && !selection.isCollapsed && selection.containsNode(parent, true);
  return selects || (parent !== document.activeElement && parent.contains(document.activeElement));
}

export class Rows {
  #known = new Map();

  /** The children of `parent`: `make` gives a new one, `update` has it say what an item says, `key` tells items apart. */
  constructor(parent, { key, make, update }) {
    this.parent = parent;
    this.key = key;
    this.make = make;
    this.update = update;
  }

  /** Shows these items, in this order. */
  show(items) {
    const keys = new Set(items.map(this.key));
    for (const [key, row] of this.#known) {
      if (keys.has(key)) continue;
      row.remove();
      this.#known.delete(key);
    }
    const held = isHeld(this.parent);
    let next = this.parent.firstElementChild;
    for (const item of items) {
      const key = this.key(item);
      const known = this.#known.get(key);
      const row = known ?? this.make(item);
      this.#known.set(key, row);
      this.update(row, item);
      if (row === next) next = next.nextElementSibling;
      else if (!known || !held) this.parent.insertBefore(row, next);
    }
  }
}

/**
 * Rows of a table. Each column: its name (for narrow windows), the text of an item in it, its class. The first names the row.
 * `mark` may give a row more than texts.
 */
export function tableRows(table, { key, columns, mark = () => {} }) {
  const make = () => {
    const row = element("tr");
    row.setAttribute("role", "row");
    for (const [at, { name, className }] of columns.entries()) {
      const cell = element(at === 0 ? "th" : "td", className);
      cell.setAttribute("role", at === 0 ? "rowheader" : "cell");
      if (at === 0) cell.scope = "row";
      else cell.dataset.column = name;
      // What users wrote may run from right to left; the column beside it does not.
      cell.append(element("bdi"));
      row.append(cell);
    }
    return row;
  };
  const update = (row, item) => {
    for (const [at, column] of columns.entries()) say(row.cells[at].firstElementChild, column.of(item));
    mark(row, item);
  };
  return new Rows(table.tBodies[0], { key, make, update });
}
