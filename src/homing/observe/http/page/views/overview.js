// Overview: how the node is, and how it was in the last minutes.

import { h } from "../dom.js";
import { bytes, count, percent, rate, seconds, short } from "../format.js";
import { chart } from "../chart.js";
import { age, causeText, choice, panel, processName, tile, toRow } from "../parts.js";
import { Question } from "../question.js";
import { table } from "../table.js";

const WINDOWS = [
  ["300", "5 minutes"],
  ["900", "15 minutes"],
  ["3600", "1 hour"],
];
const SHORTEST = 60; // seconds that the charts show at least
const BUSIEST = 8;
const WARN_LAG = 0.1;

export function create(app) {
  let window = "300";
  const busiest = new Question(app, "processes", () => ({ sort: "oldest", limit: BUSIEST }), 2);

  function render() {
    const { node, recorder } = app.live;
    return [
      h(
        "div",
        { class: "bar", key: "bar" },
        h("h1", null, "Overview"),
        h("span", { class: "grow" }),
        choice("Charts show", window, WINDOWS, (value) => {
          window = value;
          app.draw();
        }),
      ),
      tiles(node, recorder),
      charts(recorder, Number(window)),
      h("div", { class: "across", key: "across" }, drops(recorder), waiting(), health(app.live.health)),
    ];
  }

  function tiles(node, recorder) {
    const last = (name) => recorder.latest[name];
    const dropped = [...recorder.rates.values()].reduce((sum, each) => sum + each, 0);
    return h(
      "dl",
      { class: "tiles", key: "tiles" },
      tile("Received", [rate(last("packets_in")), unit("packets/s")]),
      tile("Sent", [rate(last("packets_out")), unit("packets/s")]),
      tile("Dropped", [rate(dropped), unit("packets/s")], {
        level: dropped > 0 && "bad",
        title: "All sockets, in and out",
      }),
      tile("Loop lag", seconds(node.loop_lag), {
        level: node.loop_lag > WARN_LAG && "warn",
        title: "The longest time that a timer of the event loop was late in the last second",
      }),
      tile("Memory", bytes(node.memory), { title: "Resident memory of the OS process" }),
      tile("Processes", [count(node.processes), node.zombies > 0 && unit(`${count(node.zombies)} zombies`)]),
      tile("Crashes", count(node.crashes), {
        level: node.crashes > 0 && "warn",
        title: "Processes that ended abnormally since the node's start",
      }),
      tile("Stalls", count(node.stalls), {
        level: node.stalls > 0 && "warn",
        title: `Callbacks that blocked the loop too long; the longest for ${seconds(node.longest_stall)}`,
      }),
      tile("Dead letters", count(node.dead_letters), { title: "Messages to processes that had ended" }),
    );
  }

  function charts(recorder, length) {
    const now = Date.now() / 1000;
    const from = Math.max(now - length, Math.min(recorder.history.first, now - SHORTEST));
    const draw = (key, title, note, show, lines) =>
      chart({
        key,
        title,
        note,
        lines,
        show,
        binary: show === bytes,
        from,
        to: now,
        data: recorder.history.window(
          lines.map((line) => line.name),
          length,
          now,
        ),
      });
    const causes = recorder.causes.map((cause) => ({ name: `drop ${cause}`, label: cause }));
    const perSecond = (value) => short(value);
    return h(
      "div",
      { class: "charts", key: "charts" },
      draw("packets", "Packets", "per second", perSecond, [
        { name: "packets_in", label: "received" },
        { name: "packets_out", label: "sent" },
      ]),
      draw(
        "drops",
        "Drops by cause",
        "packets per second",
        perSecond,
        causes.length ? causes : [{ name: "dropped_in", label: "none so far" }],
      ),
      draw("bytes", "Bytes", "per second", bytes, [
        { name: "bytes_in", label: "received" },
        { name: "bytes_out", label: "sent" },
      ]),
      draw("lag", "Loop lag", "worst of each second", seconds, [{ name: "lag", label: "lag" }]),
      draw("memory", "Memory", "resident", bytes, [{ name: "memory", label: "memory" }]),
      draw("processes", "Processes", "", short, [{ name: "processes", label: "alive" }]),
    );
  }

  function drops(recorder) {
    const rows = recorder.causes.filter((cause) => recorder.totals.get(cause) > 0);
    return panel(
      "Drops by cause",
      table({
        label: "Drops by cause",
        rows,
        key: (cause) => cause,
        empty: "No datagram has been dropped.",
        columns: [
          { name: "cause", label: "Cause", cell: (cause) => h("span", { title: causeText(cause) }, cause) },
          { name: "rate", label: "Now", unit: "/s", number: true, cell: (cause) => rate(recorder.rates.get(cause)) },
          {
            name: "total",
            label: "Total",
            number: true,
            title: "Of the sockets that are open",
            cell: (cause) => count(recorder.totals.get(cause)),
          },
          { name: "text", label: "Meaning", class: "wrap dim", wide: true, cell: causeText },
        ],
      }),
    );
  }

  function waiting() {
    const rows = (busiest.answer?.processes ?? []).filter((row) => row.waiting > 0);
    return panel(
      "Waiting longest",
      table({
        label: "Processes whose messages wait longest",
        rows,
        key: (row) => row.pid,
        href: (row) => toRow(row),
        empty: "No message waits.",
        columns: [
          { name: "process", label: "Process", cell: processName },
          { name: "oldest", label: "Oldest", number: true, cell: age },
          { name: "waiting", label: "Waiting", number: true, cell: (row) => count(row.waiting) },
          { name: "running", label: "Busy", number: true, cell: (row) => percent(row.running) },
        ],
      }),
    );
  }

  return { title: "Overview", render, tick: () => busiest.tick(), close: () => busiest.close() };
}

const unit = (text) => h("span", { class: "unit" }, ` ${text}`);

/** Each probe with the names of the checks that pass, and a row for each that fails. */
function health(found) {
  const rows = found?.nodes
    ? [
        ...Object.entries(found.nodes).flatMap(([node, each]) => probes(each, `${node} `)),
        ...Object.entries(found.missing).map(([node, passing]) => ({ key: node, name: node, ok: false, probe: true, passing })),
      ]
    : found && probes(found, "");
  if (!rows?.length) return null;
  return panel(
    "Health",
    table({
      label: "Health checks",
      rows,
      key: (row) => row.key,
      columns: [
        {
          name: "check",
          label: "Check",
          cell: (row) => h("span", { class: row.probe ? "name" : "inner cut", title: row.owner ?? row.name }, row.name),
        },
        {
          name: "ok",
          label: "State",
          cell: (row) => h("span", { class: `state ${row.ok ? "good" : "bad"}` }, row.ok ? "ok" : "failing"),
        },
        {
          name: "reason",
          label: "Checks",
          class: "wrap",
          cell: (row) => (row.probe ? h("span", { class: "dim" }, row.passing) : row.reason),
        },
      ],
    }),
  );
}

/** The rows of one node. prefix: of the names of its probes. */
function probes(found, prefix) {
  const names = ["live", "ready", "startup"].filter((name) => found[name]);
  return names.flatMap((name) => {
    const { ok, checks } = found[name];
    const key = prefix + name;
    const passing = checks.filter((check) => check.ok).map((check) => check.name);
    const failing = checks.filter((check) => !check.ok);
    return [
      { key, name: key, ok, probe: true, passing: passing.join(", ") },
      ...failing.map((check) => ({ ...check, key: `${key} ${check.name} ${check.owner}` })),
    ];
  });
}
