// Events: who publishes, and how many consume.

import { h } from "../dom.js";
import { count } from "../format.js";
import { filterField, leftOut, processLink, settled, toProcess, unanswered, withNode } from "../parts.js";
import { Question } from "../question.js";
import { table } from "../table.js";

const MOST = 500;

const COLUMNS = [
  { name: "name", label: "Event", cell: (row) => h("span", { class: "name cut", title: row.name }, row.name) },
  { name: "owner", label: "Owner", cell: (row) => processLink(row.owner) },
  {
    name: "consumers",
    label: "Consumers",
    number: true,
    title: "Processes linked to it, or monitoring it",
    cell: (row) => count(row.consumers),
  },
  {
    name: "buffered",
    label: "Buffered",
    number: true,
    title: "Publications kept for new consumers",
    cell: (row) => `${count(row.buffered)} of ${count(row.buffer)}`,
  },
  {
    name: "notify",
    label: "Notifies",
    cell: (row) => (row.notify ? "yes" : "no"),
    title: "Whether the owner is told of its first and last consumer",
  },
];

export function create(app) {
  let filter = "";
  const question = new Question(app, "events", () => ({ filter, limit: MOST }), 2);
  const filtered = settled(() => question.again());

  function render() {
    const found = question.answer;
    return [
      h(
        "div",
        { class: "bar", key: "bar" },
        h("h1", null, "Events"),
        h("span", { class: "grow" }),
        filterField(
          filter,
          (text) => {
            filter = text;
            filtered();
          },
          "Filter events",
        ),
      ),
      found && !question.error
        ? [
            table({
              label: "Events",
              rows: found.events,
              key: (row) => `${row.node}/${row.name}`,
              href: (row) => toProcess(row.owner),
              columns: withNode(COLUMNS),
              empty: filter ? "No event matches." : "No event is registered.",
            }),
            leftOut(found, "events"),
          ]
        : unanswered(question, "events"),
    ];
  }

  return { title: "Events", render, tick: () => question.tick(), close: () => question.close() };
}
