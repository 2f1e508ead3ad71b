// One process or meta-process: everything that the node knows about it.

import { h } from "../dom.js";
import { bytes, count, fact, percent, rate, seconds } from "../format.js";
import {
  age,
  button,
  facts,
  panel,
  processLink,
  processName,
  state,
  tile,
  toProcess,
  toRow,
  unanswered,
} from "../parts.js";
import { Question } from "../question.js";
import { table } from "../table.js";
import { buffer, dropList, queue, reading } from "./sockets.js";
import { processActions } from "../changes.js";
import { waterfall } from "./trace.js";

const MOST_TRACES = 5;

export function create(app, target) {
  const question = new Question(app, "process", () => ({ target }));

  function render() {
    const found = question.answer;
    if (!found)
      return [
        h("div", { class: "bar", key: "bar" }, h("h1", { class: "cut", title: target }, target)),
        unanswered(question, target),
      ];
    const row = found.process ?? found.meta;
    const address = row.pid ?? row.alias;
    return [
      h(
        "div",
        { class: "bar", key: "bar" },
        h("h1", { class: "cut", title: row.name ?? row.behavior }, row.name ?? row.behavior),
        h("span", { class: "dim cut" }, address),
        state(question.error ? "terminated" : row.state),
        h("span", { class: "grow" }),
        h(
          "div",
          { class: "actions" },
          button("Trace", () => app.trace.start({ target: address, limit: 20, seconds: 10 }), {
            title: "Trace the next 20 messages, for 10 seconds at most",
          }),
          app.allowed && processActions(app, found, address),
        ),
      ),
      question.error &&
        h(
          "p",
          { class: "empty", role: "alert", key: "error" },
          `${question.error.message}. Shown is what was known last.`,
        ),
      tiles(row),
      h(
        "div",
        { class: "columns", key: "columns" },
        about(found, row),
        mailbox(row),
        socket(found.socket),
        told(found),
        group(found),
        addresses(found),
        traces(address),
      ),
      members(found),
      children(found),
      metas(found),
    ];
  }

  function traces(address) {
    const kept = app.trace.of(address).slice(-MOST_TRACES).reverse();
    const running = app.trace.running && app.trace.target === address;
    if (!kept.length && !running) return null;
    return panel(
      "Last traced messages",
      kept.length ? kept.map((record) => waterfall(record)) : h("p", { class: "empty" }, "Waiting for a message …"),
      h("p", { class: "note" }, h("a", { href: "#/trace" }, "All traces")),
    );
  }

  return { title: target, render, tick: () => question.tick(), close: () => question.close() };
}

function tiles(row) {
  const unit = (text) => h("span", { class: "unit" }, ` ${text}`);
  return h(
    "dl",
    { class: "tiles", key: "tiles" },
    tile("Waiting", count(row.waiting)),
    tile("Oldest", age(row)),
    tile("In", [rate(row.in_rate), unit("/s")], { title: "Messages handled, with the question of this page each second" }),
    tile("Out", [rate(row.out_rate), unit("/s")], { title: "Messages sent" }),
    tile("Busy", percent(row.running), { title: "Share of the time that its callbacks ran" }),
    row.restarts !== undefined && tile("Restarts", count(row.restarts), { level: row.restarts > 0 && "warn" }),
    tile("Stalls", count(row.stalls), { level: row.stalls > 0 && "warn" }),
    tile("Uptime", seconds(row.uptime)),
  );
}

function about(found, row) {
  return panel(
    "About",
    facts([
      ["Behavior", row.behavior],
      ["Kind", row.kind ?? "meta-process"],
      ["Application", row.application],
      ["Parent", processLink(row.parent)],
      ["Last exit reason", row.last_reason && h("code", { class: "wrap" }, row.last_reason)],
      ["Running time", seconds(row.running_time)],
      ["Messages in", count(row.messages_in)],
      ["Messages out", count(row.messages_out)],
      [
        "In flight",
        row.in_flight && count(row.in_flight),
        "Messages whose asynchronous callbacks have begun and not returned",
      ],
      ["Open requests", row.requests && count(row.requests)],
      [
        "Kept state",
        row.kept &&
          `${row.kept.age === null ? "no dump" : bytes(row.kept.size)}, ${count(row.kept.dumps)} dumps, ` +
            `${count(row.kept.failures)} failures, ${count(row.kept.loads)} loads, ` +
            `${count(row.kept.discarded)} discarded`,
        "The last dump of the state that its successor loads",
      ],
      ["Held by", row.held_by && processLink(row.held_by)],
      ["Thread of its own", row.thread ? "yes" : null],
      ["Traps exits", found.trap_exit === null ? null : found.trap_exit ? "yes" : "no"],
      ["Adoptions", row.adoptions],
      ["Transfers", row.transfers],
      ["Environment", found.env.join(", "), "Names only: values may be secrets"],
    ]),
  );
}

function mailbox(row) {
  return panel(
    "Mailbox",
    facts([
      ...Object.entries(row.mailbox).map(([lane, number]) => [lane, count(number)]),
      ["limit", row.mailbox_size ? count(row.mailbox_size) : "none"],
      ["dropped, newest", count(row.dropped_newest)],
      ["dropped, oldest", count(row.dropped_oldest)],
      row.dropped_log > 0 && ["dropped log records", count(row.dropped_log)],
    ]),
  );
}

function socket(row) {
  return (
    row &&
    panel(
      "Socket",
      facts([
        ["Address", row.address],
        ["Peer", row.peer],
        ["Owner", processLink(row.owner, row.owner_name)],
        ["Receiver", processLink(row.receiver, row.receiver_name)],
        ["State", reading(row)],
        ["Packets in", [count(row.packets_in), ` (${rate(row.packets_in_rate)}/s)`]],
        ["Packets out", [count(row.packets_out), ` (${rate(row.packets_out_rate)}/s)`]],
        ["Bytes in", [bytes(row.bytes_in), ` (${bytes(row.bytes_in_rate)}/s)`]],
        ["Bytes out", [bytes(row.bytes_out), ` (${bytes(row.bytes_out_rate)}/s)`]],
        ["Delivered", count(row.delivered)],
        ["Queue", queue(row)],
        ["Drops", dropList(row)],
        ["Pauses", `${count(row.pauses)} reading, ${count(row.send_pauses)} sending`],
        ["Receive buffer", buffer(row.receive_buffer_asked, row.receive_buffer)],
        ["Send buffer", buffer(row.send_buffer_asked, row.send_buffer)],
        ["Backend", [row.backend, row.gro && ", gro", row.gso && ", gso"]],
        ...Object.entries(row.facts).map(([name, value]) => [name, fact(value)]),
      ]),
    )
  );
}

function told(found) {
  if (found.facts_error) return panel("Inspect", h("p", { class: "empty" }, found.facts_error));
  if (found.socket || found.group || !found.facts || !Object.keys(found.facts).length) return null;
  return panel(
    "Inspect",
    facts(
      Object.entries(found.facts).map(([name, value]) => [name || "result", h("span", { class: "wrap" }, fact(value))]),
    ),
  );
}

function group(found) {
  if (!found.group) return null;
  const all = Object.entries(found.group)
    .filter(([name]) => name !== "more")
    .map(([name, value]) => [name, value, listed(value)]);
  const kind = found.process.kind[0].toUpperCase() + found.process.kind.slice(1);
  return panel(
    kind,
    facts(all.filter(([, , rows]) => !rows).map(([name, value]) => [name.replaceAll("_", " "), fact(value)])),
  );
}

/** The tables of a pool, router or supervisor: its workers, routes or children. */
function members(found) {
  return Object.entries(found.group ?? {}).map(
    ([name, value]) =>
      listed(value) &&
      panel(
        `${name[0].toUpperCase()}${name.slice(1)}`,
        records(name, listed(value)),
        found.group.more > 0 && h("p", { class: "dim note" }, `${count(found.group.more)} more`),
      ),
  );
}

/** Returns the rows of a list of records, or of an object of records, whose names become a column; null for others. */
function listed(value) {
  if (value === null || typeof value !== "object") return null;
  const record = (each) => each !== null && typeof each === "object" && !Array.isArray(each);
  if (Array.isArray(value)) return value.length && value.every(record) ? value : null;
  const pairs = Object.entries(value);
  return pairs.length && pairs.every(([, each]) => record(each))
    ? pairs.map(([name, each]) => ({ "": name, ...each }))
    : null;
}

const ADDRESS = /^<[^<>]+>$/;

/** A table of records whose fields are not known here. */
function records(name, rows) {
  const names = [...new Set(rows.slice(0, 20).flatMap((row) => Object.keys(row)))].slice(0, 12);
  return table({
    label: name,
    rows: rows.map((row, place) => ({ row, place })),
    key: ({ place }) => place,
    empty: "",
    href: ({ row }) => (row.pid ?? (ADDRESS.test(row[""]) ? row[""] : null)) && toProcess(row.pid ?? row[""]),
    columns: names.map((field) => ({
      name: field,
      label: field.replaceAll("_", " ") || "name",
      number: rows.every((row) => row[field] === null || typeof row[field] === "number"),
      cell: ({ row }) => h("span", { class: "cut", title: fact(row[field]) }, fact(row[field])),
    })),
  });
}

function addresses(found) {
  const lists = [
    ["Links", "links"],
    ["Monitors", "monitors"],
    ["Aliases", "aliases"],
    ["Events", "events"],
  ];
  const shown = lists.filter(([, name]) => found[name].length);
  if (!shown.length) return null;
  return panel(
    "Addresses",
    facts(
      shown.map(([label, name]) => [
        label,
        h(
          "ul",
          { class: "addresses" },
          found[name].map((address) => h("li", { key: address }, name === "events" ? address : processLink(address))),
          found.more[name] > 0 && h("li", { key: "more", class: "dim" }, `${count(found.more[name])} more`),
        ),
      ]),
    ),
  );
}

const COLUMNS = [
  { name: "name", label: "Process", cell: processName },
  { name: "pid", label: "PID", cell: (row) => h("span", { class: "dim" }, row.id) },
  { name: "state", label: "State", cell: (row) => state(row.state) },
  { name: "waiting", label: "Waiting", number: true, cell: (row) => count(row.waiting) },
  { name: "oldest", label: "Oldest", number: true, cell: age },
  { name: "in", label: "In", unit: "/s", number: true, cell: (row) => rate(row.in_rate) },
  { name: "busy", label: "Busy", number: true, cell: (row) => percent(row.running) },
];
const RESTARTS = {
  name: "restarts",
  label: "Restarts",
  number: true,
  cell: (row) => h("span", { title: row.last_reason }, count(row.restarts)),
};

function children(found) {
  if (found.process?.kind === "pool") return null; // its workers are shown already
  return (
    found.children.length > 0 &&
    panel(
      "Spawned processes",
      table({
        label: "Spawned processes",
        rows: found.children,
        key: (row) => row.pid,
        href: toRow,
        columns: [...COLUMNS, RESTARTS],
      }),
      found.more.children > 0 && h("p", { class: "dim note" }, `${count(found.more.children)} more`),
    )
  );
}

function metas(found) {
  return (
    found.metas.length > 0 &&
    panel(
      "Meta-processes",
      table({ label: "Meta-processes", rows: found.metas, key: (row) => row.alias, href: toRow, columns: COLUMNS }),
    )
  );
}
