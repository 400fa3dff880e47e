/** One message on the page: how it looks in each of its states, and its editor. */

const template = document.getElementById("message");

/** A button with a text; `focusable` ones are reached by Tab. */
function button(text, onclick, focusable) {
  const element = document.createElement("button");
  Object.assign(element, { type: "button", className: "quiet", textContent: text, onclick });
  element.tabIndex = focusable ? 0 : -1;
  return element;
}

const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium", hourCycle: "h23" });

export class Message {
  /** How it came: in words, and only where it came live. */
  arrival;
  /** What its owner does to it at the moment: what is shown in the place of the row. */
  change;
  #parts;
  #buttons = "";
  #isCurrent = false;

  constructor() {
    this.element = template.content.firstElementChild.cloneNode(true);
    const part = (selector) => this.element.querySelector(selector);
    this.#parts = {
      author: part(".author"),
      time: part("time"),
      body: part(".body"),
      editor: part(".editor"),
      meta: part(".meta"),
      actions: part(".actions"),
    };
  }

  /**
   * `row`: what to show. `own`: whether it is the pane's. `state`: `committed`, `waiting` (for the server or for its
   * own event) or `failed`. `meta`: a line about it. `actions`: texts and what they do.
   */
  show({ row, own, state, meta, actions }) {
    const { author, time, body } = this.#parts;
    this.element.dataset.state = state;
    this.element.classList.toggle("own", own);
    author.textContent = row.author ?? "somebody";
    body.textContent = row.body;
    time.dateTime = row.created_at ?? "";
    time.textContent = row.created_at ? clock.format(new Date(row.created_at)) : "";
    if (this.#parts.meta.textContent !== meta) this.#parts.meta.textContent = meta;
    // New buttons would lose the focus.
    const texts = Object.keys(actions).join();
    if (texts === this.#buttons) {
      [...this.#parts.actions.children].forEach((element, at) => {
        element.onclick = Object.values(actions)[at];
      });
      return;
    }
    this.#buttons = texts;
    const had = this.#parts.actions.contains(document.activeElement);
    this.#parts.actions.replaceChildren(
      ...Object.entries(actions).map(([text, action]) => button(text, action, this.#isCurrent)),
    );
    if (had) this.focus();
  }

  /** Whether Tab reaches it: one message of a pane is current, the arrow keys move on. */
  set isCurrent(value) {
    this.#isCurrent = value;
    this.element.tabIndex = value ? 0 : -1;
    for (const element of this.#parts.actions.children) element.tabIndex = value ? 0 : -1;
  }

  focus() {
    this.element.focus();
  }

  /** Lets its text be edited in place. Gives the new text; undefined where nothing is to be changed. */
  edit(text) {
    const { editor, body, actions } = this.#parts;
    const [field, , cancel] = editor.elements;
    const isOpen = (value) => {
      editor.hidden = !value;
      body.hidden = actions.hidden = value;
    };
    if (!editor.hidden) return Promise.resolve(undefined);
    isOpen(true);
    field.value = text;
    field.focus();
    field.select();
    this.element.scrollIntoView({ block: "nearest" });
    return new Promise((resolve) => {
      const finish = (value) => {
        isOpen(false);
        this.focus();
        resolve(value && value !== text ? value : undefined);
      };
      editor.onsubmit = (event) => {
        event.preventDefault();
        finish(field.value.trim());
      };
      cancel.onclick = () => finish(undefined);
      editor.onkeydown = (event) => {
        event.stopPropagation();
        if (event.key === "Escape") finish(undefined);
      };
    });
  }
}
