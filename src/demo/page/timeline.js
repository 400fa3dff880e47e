/** The messages of a pane: in order, scrolled to where one looks, and one of them the keyboard's. */

import { RowList } from "/rowcast.js";
import { Message } from "./message.js";

/** Messages that are kept on the page. */
const LIMIT = 200;

/** So close to the end, in pixels, one is taken along. */
const AT_END = 40;

export class Timeline {
  #rows = new RowList({ limit: LIMIT, compare: (a, b) => a.id - b.id });
  /** Those that have a row, by its id. */
  #messages = new Map();
  /** Those on their way: they stand last. */
  #pending = new Set();
  #current;
  /** Whether the end is looked at, and so kept in view. */
  #follows = true;
  #scroll;
  #list;
  #jump;

  /**
   * `scroll`: the element that scrolls, with the list in it. `jump`: the button that appears when there is news below.
   * `refuge`: what gets the focus when all else is gone. `draw` shows a row in its message, and gets the event that
   * brought it.
   */
  constructor({ scroll, jump, refuge, draw }) {
    this.#scroll = scroll;
    this.#list = scroll.firstElementChild;
    this.#jump = jump;
    this.refuge = refuge;
    this.draw = draw;
    scroll.onscroll = () => {
      const { scrollHeight, scrollTop, clientHeight } = scroll;
      this.#follows = scrollHeight - scrollTop - clientHeight < AT_END;
      if (this.#follows) jump.hidden = true;
    };
    new ResizeObserver(() => this.#follows && this.scrollToEnd()).observe(scroll);
    jump.onclick = () => {
      this.scrollToEnd();
      refuge.focus();
    };
    this.#list.onkeydown = (event) => this.#move(event);
    this.#list.addEventListener("focusin", ({ target }) => this.#makeCurrent(target.closest(".message")));
  }

  get rows() {
    return this.#rows.rows;
  }

  /** The message of the row `id`, if there is one. */
  get(id) {
    return this.#messages.get(id);
  }

  /** Takes an event into the picture; `sent` is the message that showed its row on the way. */
  apply(event, sent) {
    const { id } = event.key;
    this.#rows.apply(event);
    if (event.op === "delete") this.#forget(id);
    // An update of a row before the first one passes by.
    const row = this.rows.findLast((row) => row.id === id);
    if (!row) return;
    // What `last` lists has no id of its own: it is no news.
    const isNews = !this.#messages.has(id) && !sent && event.id !== null;
    if (!this.#messages.has(id)) this.#messages.set(id, sent ?? new Message());
    this.#pending.delete(sent);
    this.draw(row, event);
    this.#arrange();
    if (this.#follows) this.scrollToEnd();
    else if (isNews) this.#jump.hidden = false;
  }

  /** Draws all rows anew. */
  redraw() {
    for (const row of this.rows) this.draw(row);
  }

  /** Shows a message that has no row yet. */
  append(message) {
    this.#pending.add(message);
    this.#list.append(message.element);
    this.scrollToEnd();
  }

  /** Takes a message without a row away. */
  discard(message) {
    this.#pending.delete(message);
    this.#drop(message.element);
  }

  /** Drops all that have a row. */
  clear() {
    // Who was in one of them would be nowhere.
    if (this.#list.contains(document.activeElement)) this.refuge.focus();
    this.#rows.clear();
    this.#messages.clear();
    this.#list.replaceChildren(...[...this.#pending].map(({ element }) => element));
  }

  scrollToEnd() {
    this.#follows = true;
    this.#scroll.scrollTop = this.#scroll.scrollHeight;
    this.#jump.hidden = true;
  }

  /** Brings the elements into the order of the rows, without touching those that are in place: a move costs the focus. */
  #arrange() {
    const ids = new Set(this.rows.map(({ id }) => id));
    for (const id of this.#messages.keys()) if (!ids.has(id)) this.#forget(id);
    let place = this.#list.firstElementChild;
    for (const id of ids) {
      const element = this.#messages.get(id)?.element;
      if (!element) continue;
      if (element === place) place = place.nextElementSibling;
      else this.#list.insertBefore(element, place);
    }
    // Tab reaches the newest, or the one that the arrow keys went to.
    if (!this.#list.contains(document.activeElement)) this.#makeCurrent(this.#list.lastElementChild);
  }

  #forget(id) {
    const message = this.#messages.get(id);
    this.#messages.delete(id);
    if (message) this.#drop(message.element);
  }

  /** Where the focus was in it, a neighbour gets it. */
  #drop(element) {
    const heir = element.nextElementSibling ?? element.previousElementSibling ?? this.refuge;
    const hadFocus = element.contains(document.activeElement);
    element.remove();
    if (hadFocus) heir.focus();
  }

  /** Up, down, home and end go from message to message. */
  #move(event) {
    const all = [...this.#list.children];
    const at = all.indexOf(event.target.closest(".message"));
    const to = { ArrowUp: at - 1, ArrowDown: at + 1, Home: 0, End: all.length - 1 }[event.key];
    if (to === undefined || !all[to]) return;
    event.preventDefault();
    all[to].focus();
  }

  #makeCurrent(element) {
    const message = [...this.#messages.values(), ...this.#pending].find((message) => message.element === element);
    if (!message || message === this.#current) return;
    if (this.#current) this.#current.isCurrent = false;
    message.isCurrent = true;
    this.#current = message;
  }
}
