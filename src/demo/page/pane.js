/** One person in one room: a subscription, the picture that its events make, and what the person does. */

import { RowList, subscribe } from "/rowcast.js";
import { inWords, now, parseTime, Strip } from "./latency.js";
import { Message } from "./message.js";
import { edit, remove, roomUrl, send } from "./room.js";

/** Messages of the history, and those that are kept on the page. */
const HISTORY = 30;
const LIMIT = 200;

/** Short times, so that one can watch: the client's own are longer. */
const TIMES = { openTimeout: 2000, climbAfter: 5000, pollInterval: 2000, wait: 5 };

const TRANSPORTS = { sse: "SSE", "long-poll": "long poll", poll: "poll" };
const FOLLOWING = {
  sse: "Live: the relay pushes each change.",
  "long-poll": "Live: a request waits for the next change.",
  poll: "Not quite live: asking every few seconds.",
};

/** Farther apart than this, in ms, the clocks of page and database are not one: no latency can be told. */
const CLOCKS_DIFFER = -20;

const template = document.getElementById("pane");

export class Pane {
  onChange = () => {};
  onTransport = () => {};
  #parts;
  #strip;
  #share = false;
  #subscription;
  #transport;
  #list = new RowList({ limit: LIMIT, compare: (a, b) => a.id - b.id });
  /** What is shown, by id; and of rows that came live how long they took. */
  #messages = new Map();
  #latencies = new Map();
  /** Messages on their way, by nonce: shown at once, until their event comes. */
  #outbox = new Map();
  /** Edits and deletions on their way, by id. */
  #changes = new Map();
  #current;

  constructor({ name, room, rooms }) {
    this.element = template.content.firstElementChild.cloneNode(true);
    const part = (selector) => this.element.querySelector(selector);
    this.#parts = {
      name: part(".name"),
      room: part(".room"),
      ladder: [...this.element.querySelectorAll(".ladder li")],
      status: part(".status"),
      again: part(".again"),
      scroll: part(".scroll"),
      note: part(".note"),
      aloud: part(".aloud"),
      messages: part(".messages"),
      jump: part(".jump"),
      composer: part(".composer"),
      curl: part(".curl code"),
    };
    this.#strip = new Strip(part(".latency"));
    this.#parts.name.value = name;
    this.#parts.room.append(...rooms.map((room) => new Option(room)));
    this.#parts.room.value = rooms.includes(room) ? room : rooms[0];
    this.#listen();
    this.#label();
  }

  get name() {
    return this.#parts.name.value.trim() || "somebody";
  }

  get room() {
    return this.#parts.room.value;
  }

  /** It has come into view, in a window that shows one pane at a time. */
  reveal() {
    this.#scrollToEnd();
  }

  start(share) {
    this.#share = share;
    this.#enter();
  }

  /** The switches stand otherwise. */
  take({ sse, long_poll, share }) {
    const broken = { sse, "long-poll": long_poll };
    for (const rung of this.#parts.ladder) rung.classList.toggle("broken", !!broken[rung.dataset.transport]);
    if (share === this.#share) return;
    this.#share = share;
    if (this.#subscription) this.#follow(this.#subscription.cursor);
  }

  #listen() {
    const { name, room, again, scroll, messages, jump, composer } = this.#parts;
    name.onchange = () => {
      this.#label();
      for (const row of this.#list.rows) this.#draw(row);
      this.onChange();
    };
    room.onchange = () => {
      this.#enter();
      this.onChange();
    };
    again.onclick = () => {
      this.#follow(this.#subscription.cursor);
      composer.elements[0].focus();
    };
    composer.onsubmit = (event) => {
      event.preventDefault();
      const [field] = composer.elements;
      const body = field.value.trim();
      field.value = "";
      if (body) this.#compose(body);
    };
    composer.onkeydown = (event) => {
      if (event.key === "ArrowUp" && !composer.elements[0].value) this.#editLast(event);
    };
    messages.onkeydown = (event) => this.#move(event);
    messages.addEventListener("focusin", ({ target }) => this.#makeCurrent(target.closest(".message")));
    scroll.onscroll = () => {
      if (this.#isAtEnd()) jump.hidden = true;
    };
    jump.onclick = () => {
      this.#scrollToEnd();
      composer.elements[0].focus();
    };
  }

  #label() {
    const [field] = this.#parts.composer.elements;
    this.element.setAttribute("aria-label", this.name);
    this.#parts.scroll.setAttribute("aria-label", `Messages, as ${this.name} sees them`);
    field.setAttribute("aria-label", `Message from ${this.name}`);
    field.placeholder = `Write as ${this.name}`;
  }

  /** Enters the room that is chosen: its history, then what comes. */
  #enter() {
    this.#outbox.clear();
    this.#clear();
    this.#strip.clear();
    this.#say("");
    this.#parts.curl.textContent = `curl -N -H 'Accept: text/event-stream' '${roomUrl(this.room)}?last=5'`;
    this.#follow();
  }

  #clear() {
    this.#list.clear();
    this.#messages.clear();
    this.#latencies.clear();
    this.#changes.clear();
    this.#parts.messages.replaceChildren(...[...this.#outbox.values()].map(({ message }) => message.element));
  }

  /** Subscribes, from the cursor where there is one, else to the history first. */
  #follow(after) {
    const before = this.#subscription;
    this.#subscription = undefined;
    before?.close();
    this.#parts.scroll.setAttribute("aria-busy", "true");
    this.#subscription = subscribe(roomUrl(this.room), {
      ...TIMES,
      last: HISTORY,
      share: this.#share,
      ...(after && { after }),
      onEvent: (event) => this.#onEvent(event),
      onReset: ({ code }) => this.#onReset(code),
    });
    const current = this.#subscription;
    current.onStatus = (status) => current === this.#subscription && this.#onStatus(status);
  }

  #onReset(code) {
    // What was committed comes with the history, or is gone.
    for (const [nonce, { id }] of this.#outbox) if (id) this.#outbox.delete(nonce);
    this.#clear();
    this.#say(`The relay can't go on from where we were (${code}): the list begins anew.`);
  }

  #onStatus({ state, transport, retryInMs, error, leader }) {
    const { status, again, ladder, scroll } = this.#parts;
    const reason = error?.message ? ` (${error.message.replace(/\.$/, "")})` : "";
    const seconds = ((retryInMs ?? 0) / 1000).toFixed(1);
    const shared = { true: " Others listen in.", false: " By another pane or tab." }[leader] ?? "";
    status.textContent = {
      connecting: `Trying ${TRANSPORTS[transport]} …`,
      ready: FOLLOWING[transport] + shared,
      waiting: `Trying again in ${seconds} s${reason}.`,
      closed: `Closed${reason}.`,
    }[state];
    this.element.dataset.state = state;
    for (const rung of ladder) {
      if (rung.dataset.transport === transport) rung.setAttribute("aria-current", "true");
      else rung.removeAttribute("aria-current");
    }
    again.textContent = state === "closed" ? "Try again" : "Try SSE now";
    again.hidden = state !== "closed" && (transport === "sse" || leader === false);
    if (state === "ready") scroll.setAttribute("aria-busy", "false");
    if (state === "ready" && transport !== this.#transport) {
      this.#transport = transport;
      this.onTransport();
    }
  }

  #onEvent(event) {
    const atEnd = this.#isAtEnd();
    const { id } = event.key;
    this.#list.apply(event);
    this.#changes.delete(id);
    if (event.op === "delete") {
      this.#forget(id);
      return;
    }
    if (!event.row) return;
    const isNew = this.#take(event.row);
    // Rows of the history stand as they are: nobody waited for them.
    if (event.id !== null) this.#measure(event);
    this.#draw(event.row);
    this.#arrange();
    if (atEnd) this.#scrollToEnd();
    else if (isNew && event.id !== null) this.#parts.jump.hidden = false;
  }

  /** Gives the row its message on the page: the one that was shown when it was sent, or a new one. */
  #take(row) {
    const sent = this.#outbox.get(row.nonce);
    if (sent) this.#outbox.delete(row.nonce);
    if (this.#messages.has(row.id)) return false;
    this.#messages.set(row.id, sent?.message ?? new Message());
    return !sent;
  }

  #measure({ op, row }) {
    const since = now() - parseTime((op === "update" && row.edited_at) || row.created_at);
    const { transport } = this.#subscription.status;
    if (since < CLOCKS_DIFFER) return;
    this.#latencies.set(row.id, `${inWords(since)} by ${TRANSPORTS[transport]}`);
    this.#strip.add(since, transport);
  }

  #draw(row) {
    const message = this.#messages.get(row.id);
    if (!message) return;
    const change = this.#changes.get(row.id);
    const own = row.author === this.name;
    const facts = [row.edited_at && "edited", this.#latencies.get(row.id)].filter(Boolean);
    message.show({
      row: { ...row, body: change?.body ?? row.body },
      own,
      state: change?.state ?? "committed",
      meta: change?.words ?? facts.join(" · "),
      actions: change?.actions ?? (own ? { Edit: () => this.#edit(row), Delete: () => this.#remove(row) } : {}),
    });
  }

  /** Brings the messages into the order of the rows, those on their way last. */
  #arrange() {
    const { messages } = this.#parts;
    const rows = new Set(this.#list.rows.map(({ id }) => id));
    for (const id of this.#messages.keys()) if (!rows.has(id)) this.#forget(id);
    let place = messages.firstElementChild;
    for (const id of rows) {
      const element = this.#messages.get(id)?.element;
      if (!element) continue;
      if (element === place) place = place.nextElementSibling;
      else messages.insertBefore(element, place);
    }
    // Tab reaches the newest, and whichever one the arrow keys went to.
    if (!messages.contains(document.activeElement)) this.#makeCurrent(messages.lastElementChild);
  }

  #forget(id) {
    const message = this.#messages.get(id);
    for (const [nonce, sent] of this.#outbox) if (sent.id === id) this.#discard(nonce);
    this.#messages.delete(id);
    this.#latencies.delete(id);
    if (message) this.#drop(message.element);
  }

  /** Takes an element away; where the focus was in it, a neighbour gets it. */
  #drop(element) {
    const heir = element.contains(document.activeElement)
      ? (element.nextElementSibling ?? element.previousElementSibling ?? this.#parts.composer.elements[0])
      : undefined;
    element.remove();
    heir?.focus();
  }

  #compose(body) {
    const nonce = crypto.randomUUID?.() ?? `${performance.timeOrigin}-${Math.random()}`;
    const sent = { message: new Message(), row: { author: this.name, body, nonce }, id: undefined };
    this.#outbox.set(nonce, sent);
    this.#say("");
    this.#parts.messages.append(sent.message.element);
    this.#post(sent);
    this.#scrollToEnd();
  }

  /** Sends it, for the first time or again. Its event may come before the answer does. */
  async #post({ message, row }) {
    const { nonce } = row;
    const show = (state, meta, actions = {}) => {
      if (this.#outbox.has(nonce)) message.show({ row, own: true, state, meta, actions });
    };
    show("waiting", "sending …");
    try {
      const id = await send(this.room, row);
      const sent = this.#outbox.get(nonce);
      if (sent) sent.id = id;
      show("waiting", "committed, waiting for its event …");
    } catch (error) {
      this.#sayAloud(`Not sent. ${error.message}`);
      show("failed", `Not sent. ${error.message}`, {
        "Try again": () => this.#post({ message, row }),
        Discard: () => this.#discard(nonce),
      });
    }
  }

  #discard(nonce) {
    const sent = this.#outbox.get(nonce);
    this.#outbox.delete(nonce);
    if (sent) this.#drop(sent.message.element);
  }

  async #edit(row) {
    const body = await this.#messages.get(row.id)?.edit(this.#changes.get(row.id)?.body ?? row.body);
    if (body) this.#change(row, "saving …", body, () => edit(row.id, body));
  }

  #remove(row) {
    this.#change(row, "deleting …", row.body, () => remove(row.id));
  }

  /** Shows a change at once, and waits for the event that says the same. */
  async #change(row, words, body, act) {
    const set = (change) => {
      this.#changes.set(row.id, { body, ...change });
      this.#draw(row);
    };
    set({ state: "waiting", words, actions: {} });
    const { id } = row;
    try {
      await act();
      if (this.#changes.has(id)) set({ state: "waiting", words: "committed, waiting for its event …", actions: {} });
    } catch (error) {
      const giveUp = () => {
        this.#changes.delete(id);
        this.#draw(row);
      };
      const actions = { "Try again": () => this.#change(row, words, body, act), "Leave it": giveUp };
      this.#sayAloud(`Not changed. ${error.message}`);
      if (this.#changes.has(id)) set({ state: "failed", words: `Not changed. ${error.message}`, actions });
    }
  }

  /** As in other chats: the up arrow in an empty composer edits one's last message. */
  #editLast(event) {
    const last = this.#list.rows.findLast(({ author }) => author === this.name);
    if (!last) return;
    event.preventDefault();
    this.#edit(last);
  }

  /** Up, down, home and end go from message to message. */
  #move(event) {
    const all = [...this.#parts.messages.children];
    const at = all.indexOf(event.target.closest(".message"));
    const to = { ArrowUp: at - 1, ArrowDown: at + 1, Home: 0, End: all.length - 1 }[event.key];
    if (to === undefined || !all[to]) return;
    event.preventDefault();
    all[to].focus();
  }

  #makeCurrent(element) {
    const all = [...this.#messages.values(), ...[...this.#outbox.values()].map(({ message }) => message)];
    const message = all.find((message) => message.element === element);
    if (!message || message === this.#current) return;
    if (this.#current) this.#current.isCurrent = false;
    message.isCurrent = true;
    this.#current = message;
  }

  #isAtEnd() {
    const { scrollHeight, scrollTop, clientHeight } = this.#parts.scroll;
    return scrollHeight - scrollTop - clientHeight < 40;
  }

  #scrollToEnd() {
    this.#parts.scroll.scrollTop = this.#parts.scroll.scrollHeight;
    this.#parts.jump.hidden = true;
  }

  #say(text) {
    const { note } = this.#parts;
    note.textContent = text;
    note.hidden = !text;
    this.#sayAloud(text);
  }

  /** For those who don't see it. */
  #sayAloud(text) {
    this.#parts.aloud.textContent = text;
  }
}
