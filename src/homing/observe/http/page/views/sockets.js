// Sockets: each with its rates, queues, drops by cause, pauses, buffers, and who receives.

import { h } from "../dom.js";
import { bytes, count, rate } from "../format.js";
import { causeText, filterField, leftOut, processLink, settled, toProcess, unanswered, withNode } from "../parts.js";
import { Question } from "../question.js";
import { nextOrder, table } from "../table.js";

const MOST = 200;

/** Asked and granted size of a buffer. */
export function buffer(asked, granted) {
  if (asked === null) return [h("span", { class: "dim" }, "default → "), bytes(granted)];
  const small = granted < asked;
  const title = small ? "Less than asked for: raise net.core.rmem_max or net.core.wmem_max." : null;
  return h("span", { title, class: small ? "mark warn" : null }, `${bytes(asked)} → ${bytes(granted)}`);
}

export function dropList(row) {
  if (!row.drops.length) return h("span", { class: "dim" }, "none");
  return h(
    "ul",
    { class: "drops" },
    row.drops.map((drop) => {
      const cause = `${drop.direction} ${drop.cause}`;
      return h("li", { key: cause, title: causeText(cause) }, `${cause} `, h("b", null, count(drop.count)));
    }),
  );
}

export function reading(row) {
  return row.reading
    ? h("span", { class: "state good" }, "reading")
    : h(
        "span",
        { class: "state warn", title: "Reading is paused until there is room" },
        `waits for ${row.waiting_for}`,
      );
}

export function queue(row) {
  const parts = [
    ["in", row.receive_waiting],
    ["out", row.send_waiting],
  ]
    .filter(([, number]) => number > 0)
    .map(([name, number]) => `${name} ${count(number)}`);
  if (row.kernel_waiting) parts.push(`kernel ${bytes(row.kernel_waiting)}`);
  return parts.join(", ") || "0";
}

const COLUMNS = [
  {
    name: "address",
    label: "Address",
    sort: "address",
    cell: (row) => [
      h("span", { class: "name" }, row.address),
      row.peer && h("span", { class: "dim" }, ` → ${row.peer}`),
    ],
  },
  {
    name: "receiver",
    label: "Receiver",
    sort: "receiver",
    title: "Where the datagrams go",
    cell: (row) => processLink(row.receiver, row.receiver_name),
  },
  {
    name: "in",
    label: "In",
    unit: "/s",
    number: true,
    sort: "packets_in_rate",
    cell: (row) => rate(row.packets_in_rate),
  },
  {
    name: "out",
    label: "Out",
    unit: "/s",
    number: true,
    sort: "packets_out_rate",
    cell: (row) => rate(row.packets_out_rate),
  },
  {
    name: "bytes_in",
    label: "In",
    unit: "bytes/s",
    number: true,
    sort: "bytes_in_rate",
    wide: true,
    cell: (row) => bytes(row.bytes_in_rate),
  },
  {
    name: "bytes_out",
    label: "Out",
    unit: "bytes/s",
    number: true,
    sort: "bytes_out_rate",
    wide: true,
    cell: (row) => bytes(row.bytes_out_rate),
  },
  { name: "dropping", label: "Drops", unit: "/s", number: true, sort: "dropped_in_rate", cell: (row) => dropRate(row) },
  { name: "drops", label: "Drops by cause", sort: "dropped_in", descends: true, class: "wrap", cell: dropList },
  {
    name: "queue",
    label: "Queue",
    number: true,
    sort: "receive_waiting",
    title: "Datagrams that wait, in the backend and in the send queue; bytes in the kernel, with its overhead",
    cell: queue,
  },
  {
    name: "pauses",
    label: "Pauses",
    number: true,
    sort: "pauses",
    title: "How often reading paused because the receiver's mailbox was full",
    cell: (row) => count(row.pauses),
  },
  { name: "reading", label: "State", cell: reading },
  {
    name: "receive",
    label: "Receive buffer",
    unit: "asked → granted",
    wide: true,
    cell: (row) => buffer(row.receive_buffer_asked, row.receive_buffer),
  },
  {
    name: "send",
    label: "Send buffer",
    unit: "asked → granted",
    wide: true,
    cell: (row) => buffer(row.send_buffer_asked, row.send_buffer),
  },
  {
    name: "backend",
    label: "Backend",
    wide: true,
    cell: (row) => h("span", { title: `gro ${row.gro ? "on" : "off"}, gso ${row.gso ? "on" : "off"}` }, row.backend),
  },
];

function dropRate(row) {
  const known = row.dropped_in_rate === null ? null : row.dropped_in_rate + (row.dropped_out_rate ?? 0);
  return known > 0 ? h("span", { class: "mark bad" }, rate(known)) : rate(known);
}

// The choices stay when the view is left.
let order = { sort: "id", reverse: false };
let filter = "";

export function create(app) {
  const question = new Question(app, "sockets", () => ({ ...order, filter, limit: MOST }));
  const filtered = settled(() => question.again());

  function render() {
    const found = question.answer;
    return [
      h(
        "div",
        { class: "bar", key: "bar" },
        h("h1", null, "Sockets"),
        h("span", { class: "grow" }),
        filterField(
          filter,
          (text) => {
            filter = text;
            filtered();
          },
          "Filter sockets",
        ),
      ),
      found && !question.error
        ? [
            table({
              label: "Sockets",
              rows: found.sockets,
              key: (row) => row.alias,
              href: (row) => toProcess(row.alias),
              columns: withNode(COLUMNS),
              ...order,
              sorted: (name) => {
                order = nextOrder(order, name);
                question.again();
              },
              empty: filter ? "No socket matches." : "No UDP socket is open.",
            }),
            leftOut(found, "sockets"),
          ]
        : unanswered(question, "sockets"),
    ];
  }

  return { title: "Sockets", render, tick: () => question.tick(), close: () => question.close() };
}
