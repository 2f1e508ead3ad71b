// What an operator may change, if the node allows it: each asks before it acts.

import { change } from "./api.js";
import { showForm } from "./dialogs.js";
import { button } from "./parts.js";

const LEVELS = ["debug", "info", "warning", "error", "critical", "default"];

/** Shows a form for a request that changes the node. read(values): returns the fields of the request. */
async function make(app, what, form, read) {
  const done = await showForm({ ...form, act: (values) => change(what, read(values)) });
  if (done) app.say(`${form.title}: done.`);
  app.refresh();
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** Reads lines of `name = value`. Raises Error, which names the line. */
function options(text) {
  const lines = text
    .split("\n")
    .map((line) => line.trim())
    .filter(Boolean);
  if (!lines.length) throw new Error("Give a line such as: rate_limit = 100");
  return Object.fromEntries(
    lines.map((line) => {
      const sign = line.indexOf("=");
      if (sign < 1) throw new Error(`Give name = value in place of: ${line}`);
      return [line.slice(0, sign).trim(), parse(line.slice(sign + 1).trim())];
    }),
  );
}

/** The buttons of one process or meta-process. */
export function processActions(app, found, target) {
  const name = (found.process ?? found.meta).name ?? target;
  const level = {
    name: "level",
    label: "Level",
    options: LEVELS,
    value: "info",
    hint: "default: no level of its own any more",
  };
  return [
    found.process &&
      button("Send …", () =>
        make(
          app,
          "send",
          {
            title: `Send to ${name}`,
            submit: "Send",
            fields: [{ name: "message", label: "Message", type: "area", hint: "JSON, otherwise text" }],
          },
          ({ message }) => ({ target, message: parse(message) }),
        ),
      ),
    button("Log level …", () =>
      make(app, "log_level", { title: `Log level of ${name}`, submit: "Set", fields: [level] }, (values) => ({
        target,
        level: values.level,
      })),
    ),
    found.socket &&
      button("Reconfigure …", () =>
        make(
          app,
          "reconfigure",
          {
            title: `Reconfigure ${found.socket.address}`,
            submit: "Apply",
            fields: [{ name: "options", label: "Options", type: "area", hint: "One a line: name = value" }],
          },
          (values) => ({ target, options: options(values.options) }),
        ),
      ),
    found.process &&
      button(
        "Exit …",
        () =>
          make(
            app,
            "exit",
            {
              title: `Exit ${name}`,
              submit: "Send exit",
              danger: true,
              text: "It gets an exit signal with this reason; its supervisor may start it again.",
              fields: [{ name: "reason", label: "Reason", value: "shutdown" }],
            },
            ({ reason }) => ({ target, reason }),
          ),
        { level: "danger" },
      ),
    found.process &&
      button(
        "Kill …",
        () =>
          make(
            app,
            "kill",
            {
              title: `Kill ${name}`,
              submit: "Kill",
              danger: true,
              text: "It ends at once, without its terminate callback; messages that wait are lost.",
            },
            () => ({ target }),
          ),
        { level: "danger" },
      ),
  ];
}

/** The buttons of the node. */
export function nodeActions(app) {
  return [
    button("Log level …", () =>
      make(
        app,
        "log_level",
        {
          title: "Log level",
          submit: "Set",
          fields: [
            { name: "level", label: "Level", options: LEVELS, value: "info" },
            { name: "module", label: "Module", hint: "Empty: the whole node" },
          ],
        },
        ({ level, module }) => (module.trim() ? { level, module: module.trim() } : { level }),
      ),
    ),
    app.known?.has("reload") &&
      button("Reload …", () =>
        make(
          app,
          "reload",
          {
            title: "Reload",
            submit: "Reload",
            text: "The configuration is read again, and what can change at run time is applied.",
          },
          () => ({}),
        ),
      ),
    button(
      "Drain …",
      () =>
        make(
          app,
          "drain",
          {
            title: `Drain ${app.live.node.name}`,
            submit: "Drain",
            danger: true,
            text: "It reads no more datagrams, answers those that wait, then stops.",
          },
          () => ({}),
        ),
      { level: "danger" },
    ),
  ];
}
