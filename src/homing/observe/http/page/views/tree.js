// The supervision tree: applications, processes under those that spawned them, meta-processes.

import { h } from "../dom.js";
import { count, rate } from "../format.js";
import { age, filterField, nodes, processName, state, toRow, unanswered } from "../parts.js";
import { Question } from "../question.js";
import { walk } from "../rove.js";

const CHILDREN = 50; // most of each parent that are shown

const closed = new Set(); // keys of branches that are folded

export function create(app) {
  let filter = "";
  const question = new Question(app, "tree", () => ({ children: CHILDREN }), 2);

  function render() {
    const rows = question.answer ? visible(lines(question.answer), closed, filter.toLowerCase()) : null;
    return [
      h(
        "div",
        { class: "bar", key: "bar" },
        h("h1", null, "Supervision tree"),
        h("span", { class: "grow" }),
        filterField(
          filter,
          (text) => {
            filter = text;
            app.draw();
          },
          "Filter tree",
        ),
      ),
      rows && !question.error
        ? rows.length
          ? tree(rows)
          : h("p", { class: "empty" }, "Nothing matches.")
        : unanswered(question, "the tree"),
    ];
  }

  function tree(rows) {
    return h(
      "div",
      { class: "scroll", key: "tree" },
      h(
        "div",
        { class: "tree", role: "tree", "aria-label": "Supervision tree", "data-rove": true, onkeydown: keys },
        rows.map((row) => line(row)),
      ),
    );
  }

  function line(row) {
    const fold = row.inner ? (closed.has(row.key) ? "▸" : "▾") : "";
    return h(
      "div",
      {
        key: row.key,
        class: `row branch ${row.kind}`,
        role: "treeitem",
        "aria-level": row.level + 1,
        "data-key": row.key,
        "data-href": row.href,
        "aria-expanded": row.inner ? String(!closed.has(row.key)) : null,
        onclick: (event) => (event.target.closest(".fold") ? toggle(row.key) : go(row.href)),
      },
      h(
        "span",
        { class: "indent", style: { "padding-inline-start": `${row.level * 1.25}rem` } },
        h("span", { class: "fold", "aria-hidden": "true" }, fold),
        row.cells[0],
      ),
      row.cells.slice(1),
    );
  }

  const go = (href) => {
    if (href && getSelection().isCollapsed) location.hash = href;
  };

  function toggle(key, fold = !closed.has(key)) {
    if (fold) closed.add(key);
    else closed.delete(key);
    app.draw();
  }

  function keys(event) {
    const { key, href } = event.target.dataset;
    if (walk(event) || !key) return;
    const expanded = event.target.getAttribute("aria-expanded");
    if (event.key === "Enter" && href) go(href);
    else if (event.key === "ArrowLeft" && expanded === "true") toggle(key, true);
    else if (event.key === "ArrowRight" && expanded === "false") toggle(key, false);
    else if (event.key === "ArrowLeft") above(event.target)?.focus();
    else return;
    event.preventDefault();
  }

  return { title: "Tree", render, tick: () => question.tick(), close: () => question.close() };
}

/** The row that a row is under. */
function above(row) {
  const level = Number(row.getAttribute("aria-level"));
  let before = row.previousElementSibling;
  while (before && Number(before.getAttribute("aria-level")) >= level) before = before.previousElementSibling;
  return before;
}

/** Returns all lines, depth first: {key, level, inner: it has lines under it, words, cells}. */
function lines(found) {
  const rows = [];
  for (const application of found.applications) {
    rows.push({
      key: `application ${application.node} ${application.name}`,
      level: 0,
      kind: "application",
      words: application.name,
      cells: [
        [
          h("span", { class: "name cut" }, application.name),
          h(
            "span",
            { class: "dim small" },
            " application ",
            application.version,
            nodes.many && ` at ${application.node}`,
          ),
        ],
        state(application.state),
        application.reason && h("span", { class: "mark warn cut", title: application.reason }, application.reason),
      ],
    });
    add(rows, application.processes, 1, application.more, `${application.node} ${application.name}`);
  }
  if (found.processes.length) {
    rows.push({
      key: "others",
      level: 0,
      kind: "application",
      words: "",
      cells: [h("span", { class: "name" }, "Other processes")],
    });
    add(rows, found.processes, 1, found.more, "others");
  }
  for (const [place, row] of rows.entries()) row.inner = (rows[place + 1]?.level ?? 0) > row.level;
  return rows;
}

function add(rows, processes, level, more, place) {
  const open = []; // parents of which children are left out
  const close = (depth) => {
    while (open.length && open.at(-1).depth >= depth) rows.push(rest(open.pop(), level));
  };
  for (const row of processes) {
    close(row.depth);
    rows.push({
      key: row.pid,
      level: level + row.depth,
      kind: row.kind,
      href: toRow(row),
      words: `${row.name} ${row.behavior} ${row.pid}`,
      cells: process(row),
    });
    for (const meta of row.metas) {
      rows.push({
        key: meta.alias,
        level: level + row.depth + 1,
        kind: "meta",
        href: toRow(meta),
        words: `${meta.behavior} ${meta.alias}`,
        cells: metaCells(meta),
      });
    }
    if (row.more) open.push({ depth: row.depth, more: row.more, key: row.pid });
  }
  close(0);
  if (more) rows.push(rest({ depth: -1, more, key: place }, level));
}

const rest = ({ depth, more, key }, level) => ({
  key: `more ${key}`,
  level: level + depth + 1,
  kind: "more",
  words: "",
  cells: [h("span", { class: "dim" }, `${count(more)} more, see Processes`)],
});

const fact = (text, shown) =>
  shown ? h("span", { class: "fact" }, h("span", { class: "dim" }, `${text} `), shown) : null;

function process(row) {
  return [
    [
      h("span", { class: "kind" }, row.kind === "actor" ? "" : row.kind),
      processName(row),
      !row.name && h("span", { class: "dim small after", title: row.pid }, row.id),
    ],
    state(row.state),
    fact(
      "restarts",
      row.restarts > 0 && h("span", { class: "mark warn", title: row.last_reason }, count(row.restarts)),
    ),
    fact("waiting", row.waiting > 0 && count(row.waiting)),
    fact("oldest", row.oldest !== null && age(row)),
    fact("in", row.in_rate > 0 && `${rate(row.in_rate)}/s`),
    row.restarts > 0 &&
      row.last_reason &&
      h("span", { class: "dim cut small", title: row.last_reason }, row.last_reason),
  ];
}

function metaCells(row) {
  const where = row.facts?.listener ?? row.facts?.local;
  return [
    [
      h("span", { class: "kind" }, "meta"),
      h("span", { class: "cut", title: row.alias }, row.behavior),
      where && h("span", { class: "name" }, ` ${where}`),
    ],
    state(row.state),
    fact("waiting", row.waiting > 0 && count(row.waiting)),
    fact("in", row.in_rate > 0 && `${rate(row.in_rate)}/s`),
  ];
}

/** Leaves out what is folded. With a filter: what matches, with all above it, folded or not. */
function visible(rows, closed, filter) {
  if (filter) {
    const path = [];
    const kept = new Set();
    for (const row of rows) {
      path.length = row.level;
      path[row.level] = row;
      if (row.words.toLowerCase().includes(filter)) for (const each of path) if (each) kept.add(each);
    }
    return rows.filter((row) => kept.has(row));
  }
  let below = Infinity; // the level of a folded branch
  return rows.filter((row) => {
    if (row.level > below) return false;
    below = closed.has(row.key) ? row.level : Infinity;
    return true;
  });
}
