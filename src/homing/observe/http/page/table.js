// Tables: sorted by their headings, walked through with the arrow keys, rows opened with Enter.

import { h } from "./dom.js";
import { walk } from "./rove.js";

/** Describes a table.
 *
 * columns: [{name, label, unit, number, sort, descends, wide, title, cell(row)}]; `sort`: the order to ask for; `number`,
 * `descends`: it begins with the largest; `wide`: hidden on narrow screens. The first column's cell is the row's link. rows; key(row): identity; href(row): address to open, or null.
 * sort, reverse: the present order; sorted(name): called when a heading is chosen. empty: text without rows. */
export function table({ label, columns, rows, key, href, sort, reverse, sorted, empty, rowClass }) {
  if (!rows.length) return h("p", { class: "empty" }, empty);
  return h(
    "div",
    { class: "scroll" },
    h(
      "table",
      { "aria-label": label, "data-rove": true, onkeydown: walk },
      h(
        "thead",
        null,
        h(
          "tr",
          null,
          columns.map((column) => heading(column, sort, reverse, sorted)),
        ),
      ),
      h(
        "tbody",
        null,
        rows.map((row) => {
          const target = href?.(row);
          return h(
            "tr",
            {
              key: key(row),
              class: join(rowClass?.(row), target && "opens"),
              onclick: target && ((event) => open(event, target)),
            },
            columns.map((column, place) => cell(column, row, place === 0 && target)),
          );
        }),
      ),
    ),
  );
}

export const join = (...names) => names.filter(Boolean).join(" ") || null;

function heading(column, sort, reverse, sorted) {
  const order = column.sort && column.sort === sort;
  const direction = order
    ? Boolean(column.number || column.descends) !== Boolean(reverse)
      ? "descending"
      : "ascending"
    : null;
  const text = [column.label, column.unit && h("span", { class: "unit" }, ` ${column.unit}`)];
  return h(
    "th",
    {
      key: column.name,
      scope: "col",
      class: join(column.number && "number", column.wide && "wide"),
      title: column.title,
      "aria-sort": sorted && column.sort ? (direction ?? "none") : null,
    },
    sorted && column.sort
      ? h(
          "button",
          { type: "button", onclick: () => sorted(column.sort) },
          text,
          h(
            "span",
            { class: "arrow", "aria-hidden": "true" },
            direction ? (direction === "ascending" ? "▲" : "▼") : "",
          ),
        )
      : text,
  );
}

function cell(column, row, target) {
  const content = column.cell(row);
  return h(
    target ? "th" : "td",
    {
      key: column.name,
      scope: target ? "row" : null,
      class: join(column.number && "number", column.wide && "wide", column.class),
    },
    target ? h("a", { href: target, class: "row" }, content) : content,
  );
}

function open(event, target) {
  if (event.target.closest("a, button, input") || !getSelection().isCollapsed) return;
  location.hash = target;
}

/** The next order after a heading was chosen: the same again turns it round. */
export function nextOrder(order, name) {
  return order.sort === name ? { sort: name, reverse: !order.reverse } : { sort: name, reverse: false };
}
