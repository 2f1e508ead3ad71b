// Parts that several views have.

import { h } from "./dom.js";
import { seconds } from "./format.js";
import { join } from "./table.js";

/** The address of the view of a process or meta-process, by its PID, alias or name. */
export const toProcess = (target) => `#/process/${encodeURIComponent(target)}`;

/** many: several OS processes answer as one node. Then names are not unique, and tables have a column more. */
export const nodes = { many: false };

/** The address of the view of a row's process: by name, as its successor has the same one. */
export const toRow = (row) => toProcess((!nodes.many && row.name) || row.pid || row.alias);

/** Returns the columns of a table, with one for the node if there are several. */
export function withNode([first, ...columns], label = "Node") {
  const node = {
    name: "node",
    label,
    cell: (row) => h("span", { class: "dim cut", title: row.node }, row.node),
  };
  return nodes.many ? [first, node, ...columns] : [first, ...columns];
}

/** A link to a process. The name if it has one, otherwise the address. */
export function processLink(target, name) {
  return target
    ? h("a", { href: toProcess(target), title: name ? `${name} ${target}` : target, class: "cut" }, name || target)
    : "–";
}

/** The name of a process, and its behavior. */
export function processName(row) {
  const behavior = row.behavior;
  return [
    h("span", { class: "name cut", title: row.name ?? behavior }, row.name ?? behavior),
    row.name && h("span", { class: "dim cut small after", title: behavior }, behavior),
  ];
}

const STATES = {
  running: "good",
  sleep: "quiet",
  wait_response: "busy",
  init: "busy",
  zombie: "bad",
  terminated: "bad",
  loaded: "quiet",
};

export const state = (name) => h("span", { class: join("state", STATES[name] ?? "quiet") }, name.replace("_", " "));

const WARN_AGE = 0.5;
const BAD_AGE = 5;

/** The age of the oldest message that waits. Color and weight tell which need attention. */
export function age(row) {
  if (row.oldest === null) return "–";
  const level = row.oldest >= BAD_AGE ? "bad" : row.oldest >= WARN_AGE ? "warn" : null;
  const text = `${row.oldest_at_least ? "> " : ""}${seconds(row.oldest)}`;
  return level ? h("span", { class: `mark ${level}` }, text) : text;
}

/** A panel with a heading. */
export function panel(title, ...content) {
  return h("section", { class: "panel", "aria-label": title, key: `panel ${title}` }, h("h2", null, title), content);
}

/** Names and values. pairs: [name, value, title]; those without a value are left out. */
export function facts(pairs) {
  const shown = pairs.filter((pair) => pair && pair[1] !== null && pair[1] !== undefined && pair[1] !== "");
  return h(
    "dl",
    { class: "facts" },
    shown.map(([name, value, title]) => h("div", { key: name, title }, h("dt", null, name), h("dd", null, value))),
  );
}

/** A number in large type, with what it is. */
export function tile(label, value, { level, title } = {}) {
  return h("div", { class: join("tile", level), key: label, title }, h("dt", null, label), h("dd", null, value));
}

/** Says how many rows are left out, if any. */
export function leftOut(answer, word) {
  return (
    answer.more > 0 &&
    h(
      "p",
      { class: "dim note" },
      `${(answer.total - answer.more).toLocaleString("en-US")} of ${answer.total.toLocaleString("en-US")} ${word} are shown.`,
    )
  );
}

/** A field to filter by. `/` brings the focus here. */
export function filterField(value, changed, label = "Filter") {
  return h(
    "label",
    { class: "filter", key: "filter" },
    h("span", { class: "hide" }, label),
    h("input", {
      type: "search",
      value,
      placeholder: `${label}  ( / )`,
      "data-filter": true,
      autocomplete: "off",
      spellcheck: "false",
      maxlength: 200,
      oninput: (event) => changed(event.target.value),
    }),
  );
}

/** A choice of few. options: [[value, text]]. */
export function choice(label, value, options, changed) {
  return h(
    "label",
    { class: "choice", key: label },
    h("span", null, label),
    h(
      "select",
      { value, onchange: (event) => changed(event.target.value) },
      options.map(([name, text]) => h("option", { key: name, value: name, selected: name === value }, text)),
    ),
  );
}

export function button(text, act, { title, level, disabled } = {}) {
  return h("button", { type: "button", class: join("button", level), key: text, title, disabled, onclick: act }, text);
}

/** Says why a question has no answer, or that it has none yet. */
export function unanswered(question, word) {
  if (question.error) return h("p", { class: "empty", role: "alert" }, question.error.message);
  return h("p", { class: "empty" }, `Loading ${word} …`);
}

/** Calls `act` once it has not been called for some time: while somebody types. */
export function settled(act, milliseconds = 200) {
  let timer = null;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => act(...given), milliseconds);
  };
}

export const CAUSES = {
  "in kernel": "The kernel's receive buffer was full. Raise receive_buffer, or handle faster.",
  "in receiver_full": "The receiver's mailbox was full: newer datagrams were dropped.",
  "in receiver_oldest": "The receiver's mailbox was full: older datagrams were dropped for newer ones.",
  "in no_receiver": "The receiver had just ended.",
  "in expired": "Older than max_age.",
  "in codel": "All had waited too long for a time (codel).",
  "in unfair": "Too many of its source waited (fair).",
  "in conflated": "Replaced by a newer one with the same key (conflate).",
  "in misrouted": "The function of route has failed: dead letters.",
  "in end": "Waited for room when the socket was closed.",
  "in filtered": "Refused by the condition of admit.",
  "in denied": "Excluded by allow or deny.",
  "in rate_limit": "Above rate_limit.",
  "in late": "An answer that came after its request had ended.",
  "in duplicate": "A second answer to the same request.",
  "in stray": "An answer to no request.",
  "in bad_record": "DTLS: forged, cut or damaged.",
  "in replayed": "DTLS: its record had come before.",
  "in unknown_peer": "DTLS: from an address without a session.",
  "in hello_bad": "DTLS: of a stranger, and begins no handshake.",
  "in hello_limited": "DTLS: above hello_limit or handshake_rate.",
  "in hello_full": "DTLS: the table of sessions, or of handshakes, was full.",
  "out send_queue": "Too many waited for the kernel's send buffer.",
  "out send_oldest": "Older datagrams were dropped from the send queue for newer ones.",
  "out reply_limit": "Above reply_limit, or held back by reply_guard.",
  "out amplification": "Above amplification: the address was not proven.",
};

/** What a cause means: of the runtime, otherwise the kernel's error. */
export const causeText = (cause) =>
  CAUSES[cause] ?? (cause.endsWith(" other") ? "Further causes." : "The kernel refused the datagram with this error.");
