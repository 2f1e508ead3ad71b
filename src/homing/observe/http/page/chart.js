// A line chart over time, by uPlot. Colors are of the style sheet; a change between light and dark draws it anew.

import uPlot from "./uplot/uPlot.esm.js";
import { clock } from "./format.js";
import { clean, h } from "./dom.js";

const HEIGHT = 150;
const COLORS = 8;
const EDGE = 0.07; // share of the time axis whose labels are left out
const STEPS = [5, 10, 15, 30, 60, 120, 300, 600, 900, 1800]; // seconds between two marks of the time axis
const POWERS = Array.from({ length: 50 }, (_, power) => 2 ** power); // bytes between two marks
const scheme = matchMedia("(prefers-color-scheme: dark)");

/** Describes a chart. lines: [{name, label}]; show: of a value; binary: values are
 * bytes; data: as uPlot has it; from, to: the ends of the time axis. */
export function chart({ key, title, note, lines, show, binary, data, from, to }) {
  const now = lines.map((line, index) => `${line.label} ${show(data[index + 1].at(-1))}`).join(", ");
  return h(
    "figure",
    { key, class: "chart" },
    h("figcaption", null, h("b", null, title), note && h("span", { class: "dim" }, ` ${note}`)),
    h(
      "ul",
      { class: "legend" },
      lines.map((line, index) =>
        h(
          "li",
          { key: line.name, title: line.label },
          h("i", { class: `swatch c${index % COLORS}` }),
          h("span", { class: "cut" }, line.label),
          h("b", null, show(data[index + 1].at(-1))),
        ),
      ),
    ),
    h("div", {
      class: "plot",
      role: "img",
      "aria-label": `${title}: ${now}`,
      widget: plot,
      data: { lines, show, binary, data, from, to },
    }),
  );
}

function plot(element) {
  let drawn = null;
  let names = null;
  let latest = null;
  let range = [0, 1];
  const again = () => {
    drawn?.destroy();
    drawn = null;
    if (latest) update(latest);
  };
  const size = new ResizeObserver(() => drawn && drawn.setSize({ width: element.clientWidth, height: HEIGHT }));
  size.observe(element);
  scheme.addEventListener("change", again);

  function update(wanted) {
    latest = wanted;
    range = [wanted.from, wanted.to];
    const now = wanted.lines.map((line) => line.name).join();
    if (drawn && now !== names) {
      drawn.destroy();
      drawn = null;
    }
    names = now;
    if (drawn) drawn.setData(wanted.data);
    else
      drawn = new uPlot(
        options(element, wanted, () => range),
        wanted.data,
        element,
      );
  }

  function destroy() {
    size.disconnect();
    scheme.removeEventListener("change", again);
    drawn?.destroy();
  }

  return { update, destroy };
}

/** Seconds only where the axis has them. */
function moment(time, times, [from, to]) {
  if (time - from < (to - from) * EDGE) return ""; // it would touch the other axis

  const text = clock(time * 1000, false);
  return times.every((each) => each % 60 === 0) ? text.slice(0, 5) : text;
}

function options(element, { lines, show, binary }, range) {
  const style = getComputedStyle(document.documentElement);
  const color = (name) => style.getPropertyValue(name).trim();
  const axis = {
    stroke: color("--dim"),
    grid: { stroke: color("--line"), width: 1 },
    ticks: { show: false },
    font: "11px system-ui, sans-serif",
  };
  return {
    width: Math.max(200, element.clientWidth),
    height: HEIGHT,
    padding: [8, 26, 0, 0],
    legend: { show: false },
    cursor: { drag: { x: false, y: false }, points: { size: 5 } },
    plugins: [tooltip(show)],
    scales: { x: { range: () => range() }, y: { range: (_, low, high) => [0, high > 0 ? high * 1.1 : 1] } },
    axes: [
      {
        ...axis,
        size: 22,
        gap: 4,
        space: 70,
        incrs: STEPS,
        values: (_, times) => times.map((time) => moment(time, times, range())),
      },
      {
        ...axis,
        size: 62,
        gap: 4,
        space: 28,
        incrs: binary ? POWERS : undefined,
        values: (_, values) => values.map((value) => show(value)),
      },
    ],
    series: [
      {},
      ...lines.map((line, index) => ({
        label: clean(line.label),
        stroke: color(`--c${index % COLORS}`),
        width: 1.5,
        points: { show: false },
        spanGaps: false,
      })),
    ],
  };
}

/** The values under the pointer. */
function tooltip(show) {
  const box = document.createElement("div");
  box.className = "tooltip";
  const set = (chart) => {
    const { idx, left } = chart.cursor;
    const known = idx !== null && idx !== undefined && left >= 0 && chart.data[0][idx] !== undefined;
    box.hidden = !known;
    if (!known) return;
    const lines = chart.series.slice(1).map((line, index) => `${line.label} ${show(chart.data[index + 1][idx])}`);
    box.textContent = [clock(chart.data[0][idx] * 1000, false), ...lines].join("\n");
    const right = left > chart.over.clientWidth / 2;
    box.style.left = right ? "auto" : `${left + 10}px`;
    box.style.right = right ? `${chart.over.clientWidth - left + 10}px` : "auto";
  };
  return {
    hooks: {
      init: (chart) => {
        box.hidden = true;
        chart.over.append(box);
      },
      setCursor: set,
      setData: set,
    },
  };
}
