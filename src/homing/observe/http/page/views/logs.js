// The log, as it is written: the last records, then each new one.

import { Refused, stream } from "../api.js";
import { h } from "../dom.js";
import { clock, count, fact } from "../format.js";
import { button, choice, filterField, processLink } from "../parts.js";

const MOST = 500; // records kept
const LAST = 200; // older records asked for at the beginning
const LEVELS = [
  ["DEBUG", "debug"],
  ["INFO", "info"],
  ["WARNING", "warning"],
  ["ERROR", "error"],
];
const RETRY = 2000; // milliseconds

export function create(app) {
  let records = [];
  let number = 0; // of the last record
  let suppressed = 0;
  let level = "INFO";
  let filter = "";
  let held = null; // records as they were when the display was held
  let problem = null;
  let abort = null;
  let timer = null;

  async function follow() {
    const mine = (abort = new AbortController());
    records = [];
    suppressed = 0;
    problem = null;
    try {
      await stream(
        "logs",
        { level: level.toLowerCase(), follow: true, last: LAST },
        mine.signal,
        (item) => mine.signal.aborted || take(item),
      );
    } catch (error) {
      if (error instanceof Refused) problem = error.message;
    }
    if (mine.signal.aborted) return;
    abort = null;
    timer = setTimeout(() => app.live.stopped || abort || follow(), RETRY);
    app.draw();
  }

  function take(item) {
    suppressed += item.suppressed ?? 0;
    const record = item.record ?? item;
    if (record.message !== undefined) records.push({ ...record, number: (number += 1), shown: null });
    if (records.length > MOST) records.splice(0, records.length - MOST);
    app.draw();
  }

  function close() {
    clearTimeout(timer);
    abort?.abort();
    abort = null;
  }

  function watch() {
    if (app.live.stopped) close();
    else if (!abort) follow();
  }

  const shown = () => {
    const text = filter.toLowerCase();
    const found = held ?? records;
    return text
      ? found.filter((record) =>
          [
            record.message,
            record.logger,
            record.name,
            record.pid,
            record.behavior,
            record.peer,
            record.exception?.text,
          ].some((part) => part?.toLowerCase().includes(text)),
        )
      : found;
  };

  function render() {
    const rows = shown();
    return [
      h(
        "div",
        { class: "bar", key: "bar" },
        h("h1", null, "Log"),
        suppressed > 0 &&
          h(
            "span",
            { class: "badge warn", title: "Records that came faster than they are shown" },
            `suppressed ${count(suppressed)}`,
          ),
        held &&
          h("span", { class: "badge" }, `held, ${count(records.length ? number - (held.at(-1)?.number ?? 0) : 0)} new`),
        h("span", { class: "grow" }),
        choice("Level", level, LEVELS, (value) => {
          level = value;
          close();
          watch();
          app.draw();
        }),
        button(
          held ? "Continue" : "Hold",
          () => {
            held = held ? null : [...records];
            app.draw();
          },
          { title: "Holds the display; records are still collected" },
        ),
        button("Clear", () => {
          records = [];
          suppressed = 0;
          held = held && [];
          app.draw();
        }),
        filterField(
          filter,
          (text) => {
            filter = text;
            app.draw();
          },
          "Filter log",
        ),
      ),
      problem && h("p", { class: "empty", role: "alert", key: "problem" }, problem),
      rows.length
        ? h(
            "div",
            { class: "scroll log", role: "log", "aria-live": "off", "aria-label": "Log", key: "log", tabindex: 0 },
            rows.toReversed().map((record) => (record.shown ??= line(record))),
          )
        : h(
            "p",
            { class: "empty", key: "none" },
            filter ? "No record matches." : `No record of level ${level.toLowerCase()} or above so far.`,
          ),
    ];
  }

  watch();
  return { title: "Log", render, tick: watch, followed: watch, close };
}

function line(record) {
  const more = [record.exception?.traceback, record.stack].filter(Boolean).join("\n");
  const extra = record.extra && fact(record.extra);
  return h(
    "article",
    { key: record.number, class: `record ${record.level.toLowerCase()}` },
    h("time", { datetime: record.time, title: record.time }, clock(record.time)),
    h("span", { class: "level" }, record.level.toLowerCase()),
    h(
      "span",
      { class: "source cut" },
      record.pid || record.alias
        ? processLink(record.alias ?? record.pid, record.name ?? record.behavior)
        : h("span", { class: "dim", title: record.logger }, record.logger),
    ),
    h(
      "div",
      { class: "text" },
      h("span", { class: "message" }, record.message),
      record.peer && h("span", { class: "dim" }, ` peer ${record.peer}`),
      extra && h("span", { class: "dim" }, ` ${extra}`),
      record.exception && h("span", { class: "message fault" }, `${record.exception.type}: ${record.exception.text}`),
      more && h("details", null, h("summary", null, "Traceback"), h("pre", null, more)),
    ),
  );
}
