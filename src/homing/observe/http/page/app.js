// The page: its frame, its views by the address after #, its keys.

import { known, onToken } from "./api.js";
import { nodeActions } from "./changes.js";
import { askToken, showKeys } from "./dialogs.js";
import { h, render } from "./dom.js";
import { seconds } from "./format.js";
import { Live } from "./live.js";
import { button, nodes, state } from "./parts.js";
import { rove, walk } from "./rove.js";
import { Tracing } from "./tracing.js";
import * as events from "./views/events.js";
import * as logs from "./views/logs.js";
import * as members from "./views/nodes.js";
import * as overview from "./views/overview.js";
import * as process from "./views/process.js";
import * as processes from "./views/processes.js";
import * as sockets from "./views/sockets.js";
import * as trace from "./views/trace.js";
import * as tree from "./views/tree.js";

const VIEWS = [
  ["overview", "Overview", overview],
  ["sockets", "Sockets", sockets],
  ["processes", "Processes", processes],
  ["tree", "Tree", tree],
  ["events", "Events", events],
  ["logs", "Log", logs],
  ["trace", "Trace", trace],
  ["nodes", "Nodes", members],
];
const SAID_SECONDS = 6;

const top = document.getElementById("top");
const notice = document.getElementById("notice");
const main = document.getElementById("main");
let view = null;
let route = "";
let said = null;
let drawing = false;

const app = {
  live: new Live((item) => changed(item)),
  trace: new Tracing(() => draw()),
  walk,
  known: null, // names of requests
  get allowed() {
    return app.live.node?.allow === true;
  },
  draw,
  refresh: () => view?.tick?.(),
  say(text) {
    said = text;
    setTimeout(() => {
      said = said === text ? null : said;
      draw();
    }, SAID_SECONDS * 1000);
    draw();
  },
};

function changed(item) {
  if (item && !app.known) learn();
  nodes.many = (app.live.node?.nodes?.length ?? 0) + Object.keys(app.live.node?.missing ?? {}).length > 1;
  if (item) view?.tick?.();
  draw();
}

async function learn() {
  app.known = new Set();
  try {
    app.known = await known();
  } catch {
    app.known = null; // asked again with the next item
  }
  draw();
}

/** Draws the page with the next frame, once for all changes until then. */
function draw() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(drawNow);
}

function drawNow() {
  drawing = false;
  const { live } = app;
  render(top, header(live));
  render(notice, messages(live));
  document.body.classList.toggle("stale", live.silent > 0);
  if (live.node && view) render(main, view.render());
  else render(main, h("p", { class: "empty" }, live.problem ?? "Waiting for the node …"));
  rove(document);
  document.title = view && live.node ? `${view.title} · ${live.node.name}` : "Homing";
}

function header(live) {
  const { node } = live;
  return [
    h(
      "div",
      { class: "node" },
      h("b", { class: "cut", title: node?.name }, node?.name ?? "Homing"),
      node && [
        state(node.state),
        node.draining && h("span", { class: "badge warn" }, "draining"),
        h(
          "span",
          { class: "dim uptime", title: `OS process ${node.os_pid}, Python ${node.python}, ${node.loop}` },
          `up ${seconds(node.uptime)}`,
        ),
      ],
    ),
    h(
      "nav",
      { "aria-label": "Views" },
      VIEWS.filter(([name]) => name !== "nodes" || node?.cluster || route === "nodes").map(([name, label]) =>
        h("a", { key: name, href: `#/${name}`, "aria-current": route === name ? "page" : null }, label),
      ),
    ),
    h(
      "div",
      { class: "actions" },
      node &&
        (app.allowed
          ? nodeActions(app)
          : h("span", { class: "badge", title: "Start the node with --allow to change it" }, "read-only")),
      button(live.paused ? "Continue" : "Pause", () => live.pause(!live.paused), { title: "Key p" }),
      button("?", showKeys, { title: "Keys" }),
    ),
  ];
}

function messages(live) {
  const since = live.silent;
  return [
    since > 0 &&
      h(
        "p",
        { class: "notice bad", key: "silent" },
        live.connected
          ? `The node has not answered for ${seconds(since)}.`
          : `No connection to the node for ${seconds(since)}; trying again.`,
        live.problem && ` ${live.problem}`,
      ),
    Object.entries(live.node?.missing ?? {}).map(([name, why]) =>
      h("p", { class: "notice warn", key: `missing ${name}` }, `${name} does not answer: ${why}`),
    ),
    live.paused && h("p", { class: "notice", key: "paused" }, "Paused. What is shown does not change."),
    live.node?.draining &&
      h("p", { class: "notice warn", key: "draining" }, "The node drains: it reads no more datagrams, and will stop."),
    said && h("p", { class: "notice good", key: "said" }, said),
  ];
}

function open() {
  const [name, ...rest] = location.hash.replace(/^#\/?/, "").split("/");
  view?.close?.();
  const known = VIEWS.find(([each]) => each === name) ?? VIEWS[0];
  const target = name === "process" ? decoded(rest.join("/")) : null;
  route = target ? "process" : known[0];
  view = target ? process.create(app, target) : known[2].create(app);
  render(main);
  drawNow();
  main.focus({ preventScroll: true });
  top.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
  scrollTo(0, 0);
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

addEventListener("keydown", (event) => {
  const typing = event.target.matches("input, textarea, select");
  if (event.key === "Escape" && typing && event.target.matches("[data-filter]")) {
    event.target.blur();
    main.focus();
  } else if (typing || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  else if (event.key === "/") document.querySelector("[data-filter]")?.focus();
  else if (event.key === "?") showKeys();
  else if (event.key === "p") app.live.pause(!app.live.paused);
  else if (event.key === "Escape" && route === "process") history.back();
  else if (/^[1-8]$/.test(event.key)) location.hash = `#/${VIEWS[event.key - 1][0]}`;
  else return;
  event.preventDefault();
});

addEventListener("hashchange", open);
document.addEventListener("visibilitychange", () => view?.followed?.());
onToken(askToken);
open();
app.live.start();
