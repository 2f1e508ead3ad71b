// Traces: each a waterfall of one packet, from its arrival over all handlers to the reply.

import { h } from "../dom.js";
import { bytes, clock, count, seconds } from "../format.js";
import { button, choice, panel, processLink } from "../parts.js";

const LIMITS = [
  ["20", "20"],
  ["100", "100"],
  ["500", "500"],
];
const SECONDS = [
  ["10", "10 s"],
  ["60", "1 minute"],
  ["600", "10 minutes"],
];
const ENDS = {
  limit: "the number was reached",
  seconds: "the time was over",
  target: "the target has ended",
  closed: "it was stopped",
};

export function create(app) {
  const trace = app.trace;
  const form = { target: trace.target ?? "", limit: "20", seconds: "10" };
  let chosen = null; // the number of the trace that is shown; null: the last one

  const begin = () =>
    trace.start({ target: form.target.trim() || null, limit: Number(form.limit), seconds: Number(form.seconds) });

  function render() {
    const records = trace.records;
    const record = records.find((each) => each.key === chosen) ?? records.at(-1);
    return [
      h(
        "form",
        {
          class: "bar",
          key: "bar",
          onsubmit: (event) => {
            event.preventDefault();
            begin();
          },
        },
        h("h1", null, "Trace"),
        h("span", { class: "grow" }),
        h(
          "label",
          { class: "filter long" },
          h("span", null, "Target "),
          h("input", {
            value: form.target,
            "data-filter": true,
            placeholder: "name, PID or alias; empty: all sockets",
            maxlength: 200,
            autocomplete: "off",
            spellcheck: "false",
            oninput: (event) => {
              form.target = event.target.value;
            },
          }),
        ),
        choice("Most", form.limit, LIMITS, (value) => {
          form.limit = value;
        }),
        choice("For", form.seconds, SECONDS, (value) => {
          form.seconds = value;
        }),
        trace.running
          ? button("Stop", () => trace.stop())
          : h("button", { type: "submit", class: "button primary", key: "start" }, "Start"),
      ),
      trace.problem && h("p", { class: "empty", role: "alert", key: "problem" }, trace.problem),
      summary(trace),
      record
        ? h("div", { class: "split", key: "split" }, list(records, record), panel("Waterfall", waterfall(record)))
        : !trace.problem &&
          h(
            "p",
            { class: "empty", key: "none" },
            trace.running
              ? "Waiting for a packet …"
              : "Start a trace to follow single packets: how long each waits, who handles it, what is sent and answered.",
          ),
    ];
  }

  function list(records, record) {
    return h(
      "div",
      { class: "scroll", role: "listbox", "aria-label": "Traces", "data-rove": true, onkeydown: keys },
      records.toReversed().map((each) =>
        h(
          "button",
          {
            key: each.key,
            type: "button",
            class: "row trace",
            role: "option",
            "aria-selected": String(each === record),
            onclick: () => {
              chosen = each.key;
              app.draw();
            },
            onfocus: () => {
              chosen = each.key;
              app.draw();
            },
          },
          h("span", null, clock(each.at * 1000)),
          h("span", { class: "cut", title: each.source }, each.source ?? each.kind),
          h("span", { class: "number" }, seconds(each.seconds)),
          h(
            "span",
            { class: `state ${outcome(each)}` },
            outcome(each) === "good" ? "ok" : outcome(each) === "bad" ? "error" : "open",
          ),
        ),
      ),
    );
  }

  const keys = (event) => app.walk(event);

  return { title: "Trace", render, tick: () => {} };
}

function outcome(record) {
  const all = record.handlings.map((handling) => handling.outcome);
  return all.includes("error") || all.includes("lost") ? "bad" : record.complete ? "good" : "warn";
}

function summary(trace) {
  const found = trace.summary;
  if (trace.running)
    return h(
      "p",
      { class: "note", key: "summary" },
      `Tracing ${trace.target ?? "all sockets"}: ${count(trace.records.length)} so far.`,
    );
  if (!found) return null;
  return h(
    "p",
    { class: "note", key: "summary" },
    `${count(found.count)} traced, ended as ${ENDS[found.ended] ?? found.ended}. Queue p50 ${seconds(found.queue_p50)}, p99 ${seconds(found.queue_p99)}; handling p50 ${seconds(found.handling_p50)}, p99 ${seconds(found.handling_p99)}.`,
    found.errors > 0 && ` ${count(found.errors)} with an error.`,
    found.lost > 0 && ` ${count(found.lost)} lost.`,
    found.skipped > 0 && ` ${count(found.skipped)} more were skipped.`,
  );
}

/** Describes one trace: a bar for each handling, its light part the time in the queue. */
export function waterfall(record) {
  const total = Math.max(record.seconds, 1e-9);
  return h(
    "div",
    { class: "waterfall", key: record.key },
    h(
      "p",
      { class: "note" },
      `${record.kind}`,
      record.source && ` from ${record.source}`,
      record.socket && ` at ${record.socket}`,
      record.size !== null && `, ${bytes(record.size)}`,
      record.count > 1 && ` in ${count(record.count)} datagrams`,
      `, ${clock(record.at * 1000)}, ${seconds(record.seconds)} in all`,
      !record.complete && ", not complete",
    ),
    h(
      "ol",
      null,
      record.handlings.map((handling) => bar(handling, record, total)),
    ),
    record.left_out > 0 && h("p", { class: "dim note" }, `${count(record.left_out)} more messages were not followed.`),
  );
}

function bar(handling, record, total) {
  const share = (value) => `${Math.max(0, Math.min(100, (100 * value) / total)).toFixed(3)}%`;
  const begun = handling.after ?? total;
  const queued = handling.queue ?? 0;
  const handled = handling.handling ?? Math.max(0, record.seconds - begun);
  const bad = ["error", "lost"].includes(handling.outcome);
  const who = handling.name || handling.behavior || handling.receiver;
  return h(
    "li",
    { key: handling.number, style: { "--depth": depth(handling, record) } },
    h(
      "div",
      { class: "who" },
      processLink(handling.process || handling.receiver, who),
      h("span", { class: "dim small" }, ` ${handling.kind}`),
    ),
    h(
      "div",
      {
        class: "lane",
        role: "img",
        "aria-label": `queue ${seconds(handling.queue)}, handling ${seconds(handling.handling)}`,
      },
      h("i", { class: "queued", style: { left: share(begun - queued), width: share(queued) } }),
      handling.after !== null &&
        h("i", { class: bad ? "handled bad" : "handled", style: { left: share(begun), width: share(handled) } }),
      handling.steps.map((step, place) =>
        h("i", { key: place, class: `step ${step.kind}`, title: stepText(step), style: { left: share(step.after) } }),
      ),
    ),
    h(
      "div",
      { class: "times" },
      `queue ${seconds(handling.queue)}, handling ${seconds(handling.handling)}`,
      handling.outcome !== "ok" && h("b", { class: bad ? "mark bad" : "mark warn" }, handling.outcome),
    ),
    handling.error && h("div", { class: "fault wrap" }, handling.error),
    h(
      "ul",
      { class: "steps" },
      handling.steps.map((step, place) => h("li", { key: place }, stepText(step))),
      handling.steps_left_out > 0 && h("li", { key: "more", class: "dim" }, `${count(handling.steps_left_out)} more`),
    ),
  );
}

function depth(handling, record) {
  let level = 0;
  for (let parent = handling.parent; parent && level < 12; level += 1)
    parent = record.handlings.find((each) => each.number === parent)?.parent;
  return level;
}

function stepText(step) {
  const size = step.size === null ? "" : `, ${bytes(step.size)}`;
  const answer = step.kind === "call" || step.kind === "request" ? `, answered after ${seconds(step.seconds)}` : "";
  return `+${seconds(step.after)} ${step.kind} to ${step.to}${size}${answer}${step.error && `: ${step.error}`}`;
}
