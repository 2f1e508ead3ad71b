// Nodes: those of the cluster, and the connections to them.

import { h } from "../dom.js";
import { bytes, count, seconds } from "../format.js";
import { filterField, leftOut, settled, unanswered, withNode } from "../parts.js";
import { Question } from "../question.js";
import { table } from "../table.js";

const MOST = 500;

function state(row) {
  if (!row.up) return h("span", { class: "state bad" }, "down");
  if (row.draining) return h("span", { class: "state warn", title: "It takes no new sessions, and will stop" }, "draining");
  return h("span", { class: "state good" }, row.own ? "this node" : "up");
}

/** A count that should stay 0. */
function fault(number) {
  return number > 0 ? h("span", { class: "mark bad" }, count(number)) : count(number);
}

function undelivered(row) {
  const causes = Object.entries(row.undelivered);
  if (!causes.length) return h("span", { class: "dim" }, "none");
  return h(
    "ul",
    { class: "drops" },
    causes.map(([cause, number]) => h("li", { key: cause }, `${cause} `, h("b", null, count(number)))),
  );
}

const COLUMNS = [
  {
    name: "name",
    label: "Name",
    cell: (row) => h("span", { class: "name cut", title: `${row.name}, creation ${row.creation}` }, row.name),
  },
  { name: "state", label: "State", cell: state },
  {
    name: "addresses",
    label: "Address",
    class: "wrap",
    cell: (row) => row.addresses.join(", ") || "–",
    title: "Where it listens for other nodes",
  },
  { name: "uptime", label: "Up", number: true, cell: (row) => seconds(row.uptime) },
  { name: "tags", label: "Tags", cell: (row) => row.tags.join(", ") || "–", wide: true },
  {
    name: "rtt",
    label: "Round trip",
    number: true,
    cell: (row) => seconds(row.rtt),
    title: "Time of the last heartbeat there and back",
  },
  { name: "in", label: "In", unit: "messages", number: true, cell: (row) => count(row.messages_in) },
  { name: "out", label: "Out", unit: "messages", number: true, cell: (row) => count(row.messages_out) },
  { name: "bytes_in", label: "In", unit: "bytes", number: true, wide: true, cell: (row) => bytes(row.bytes_in) },
  { name: "bytes_out", label: "Out", unit: "bytes", number: true, wide: true, cell: (row) => bytes(row.bytes_out) },
  {
    name: "waiting",
    label: "Waiting",
    number: true,
    cell: (row) => bytes(row.waiting),
    title: "Bytes that wait to be sent",
  },
  {
    name: "in_flight",
    label: "In flight",
    number: true,
    wide: true,
    cell: (row) => bytes(row.in_flight),
    title: "Bytes sent, and not acknowledged yet",
  },
  {
    name: "dropped",
    label: "Dropped",
    number: true,
    cell: (row) => fault(row.dropped),
    title: "Messages for it that there was no room for",
  },
  {
    name: "resets",
    label: "Resets",
    number: true,
    cell: (row) => fault(row.resets),
    title: "How often a fault of the connection has ended it",
  },
  {
    name: "undelivered",
    label: "Undelivered",
    class: "wrap",
    wide: true,
    cell: undelivered,
    title: "Messages of it that reached nobody here",
  },
];

export function create(app) {
  let filter = "";
  const question = new Question(app, "nodes", () => ({ filter, limit: MOST }));
  const filtered = settled(() => question.again());

  function render() {
    const found = question.answer;
    return [
      h(
        "div",
        { class: "bar", key: "bar" },
        h("h1", null, found?.cluster ? `Nodes of cluster ${found.cluster}` : "Nodes"),
        h("span", { class: "grow" }),
        filterField(
          filter,
          (text) => {
            filter = text;
            filtered();
          },
          "Filter nodes",
        ),
      ),
      found && !question.error
        ? [
            table({
              label: "Nodes",
              rows: found.nodes,
              key: (row) => `${row.node}/${row.name}`,
              columns: withNode(COLUMNS, "Seen by"),
              empty: found.cluster ? "No node matches." : "This node is in no cluster.",
            }),
            leftOut(found, "nodes"),
          ]
        : unanswered(question, "nodes"),
    ];
  }

  return { title: "Nodes", render, tick: () => question.tick(), close: () => question.close() };
}
