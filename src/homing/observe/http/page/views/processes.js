// Processes: sorted and filtered by the node, so that this works with a hundred thousand of them.

import { h } from "../dom.js";
import { count, percent, rate, seconds } from "../format.js";
import {
  age,
  choice,
  filterField,
  leftOut,
  processName,
  settled,
  state,
  toRow,
  unanswered,
  withNode,
} from "../parts.js";
import { Question } from "../question.js";
import { nextOrder, table } from "../table.js";

const LIMITS = [
  ["50", "50"],
  ["200", "200"],
  ["1000", "1,000"],
];
const KINDS = [
  ["", "any"],
  ["actor", "actors"],
  ["pool", "pools"],
  ["router", "routers"],
  ["supervisor", "supervisors"],
];

const COLUMNS = [
  { name: "name", label: "Process", sort: "name", cell: processName },
  {
    name: "pid",
    label: "PID",
    sort: "id",
    wide: true,
    cell: (row) => h("span", { class: "dim", title: row.pid }, row.id),
  },
  {
    name: "waiting",
    label: "Waiting",
    number: true,
    sort: "waiting",
    title: "Messages in its mailbox",
    cell: (row) => count(row.waiting),
  },
  {
    name: "oldest",
    label: "Oldest",
    number: true,
    sort: "oldest",
    title: "Age of the oldest message that waits",
    cell: age,
  },
  {
    name: "in",
    label: "In",
    unit: "/s",
    number: true,
    sort: "in_rate",
    title: "Messages handled",
    cell: (row) => rate(row.in_rate),
  },
  {
    name: "out",
    label: "Out",
    unit: "/s",
    number: true,
    sort: "out_rate",
    title: "Messages sent",
    cell: (row) => rate(row.out_rate),
  },
  {
    name: "running",
    label: "Busy",
    number: true,
    sort: "running",
    title: "Share of the time that its callbacks ran",
    cell: (row) => percent(row.running),
  },
  {
    name: "state",
    label: "State",
    sort: "state",
    cell: (row) => [
      state(row.state),
      row.held_by &&
        h("span", { class: "mark warn", title: `Held until ${row.held_by} has drained its mailbox` }, "held"),
    ],
  },
  {
    name: "restarts",
    label: "Restarts",
    number: true,
    sort: "restarts",
    cell: (row) =>
      row.restarts > 0
        ? h("span", { class: "mark warn", title: row.last_reason }, count(row.restarts))
        : count(row.restarts),
  },
  {
    name: "dropped",
    label: "Dropped",
    number: true,
    sort: "dropped",
    wide: true,
    title: "Messages dropped because its mailbox was full",
    cell: (row) => count(row.dropped_newest + row.dropped_oldest),
  },
  { name: "uptime", label: "Uptime", number: true, sort: "uptime", wide: true, cell: (row) => seconds(row.uptime) },
  {
    name: "application",
    label: "Application",
    sort: "application",
    wide: true,
    cell: (row) => h("span", { class: "cut", title: row.application }, row.application ?? "–"),
  },
];

// The choices stay when the view is left.
let order = { sort: "id", reverse: false };
let filter = "";
let kind = "";
let limit = "50";

export function create(app) {
  const question = new Question(app, "processes", () => ({ ...order, filter, kind, limit }));
  const filtered = settled(() => question.again());
  const set = (change) => {
    change();
    question.again();
    app.draw();
  };

  function render() {
    const found = question.answer;
    return [
      h(
        "div",
        { class: "bar", key: "bar" },
        h("h1", null, "Processes"),
        found && h("span", { class: "dim" }, `${count(found.total)} match`),
        h("span", { class: "grow" }),
        choice("Kind", kind, KINDS, (value) =>
          set(() => {
            kind = value;
          }),
        ),
        choice("Rows", limit, LIMITS, (value) =>
          set(() => {
            limit = value;
          }),
        ),
        filterField(
          filter,
          (text) => {
            filter = text;
            filtered();
          },
          "Filter processes",
        ),
      ),
      found && !question.error
        ? [
            table({
              label: "Processes",
              rows: found.processes,
              key: (row) => row.pid,
              href: (row) => toRow(row),
              columns: withNode(COLUMNS),
              sort: order.sort,
              reverse: order.reverse,
              sorted: (name) =>
                set(() => {
                  order = nextOrder(order, name);
                }),
              empty: filter || kind ? "No process matches." : "There is no process.",
            }),
            leftOut(found, "processes"),
          ]
        : unanswered(question, "processes"),
    ];
  }

  return { title: "Processes", render, tick: () => question.tick(), close: () => question.close() };
}
