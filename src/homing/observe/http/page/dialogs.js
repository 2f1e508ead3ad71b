// Dialogs: the token, confirmations, the keys.

import { h, render } from "./dom.js";

/** Shows a form, and returns the values of its fields; null if it was cancelled.
 *
 * fields: [{name, label, type, value, options, required, hint}]. act(values): called before it closes; an error that it
 * raises is shown, and the dialog stays. */
export function showForm({ title, text, fields = [], submit, danger, act = async () => {} }) {
  return new Promise((resolve) => {
    const dialog = document.createElement("dialog");
    const values = Object.fromEntries(fields.map((field) => [field.name, field.value ?? ""]));
    let problem = null;
    let busy = false;
    let result = null;
    const draw = () =>
      render(
        dialog,
        h(
          "form",
          { method: "dialog", onsubmit: send },
          h("h2", { id: "dialog-title" }, title),
          text && h("p", null, text),
          fields.map((field) => input(field, values)),
          problem && h("p", { class: "problem", role: "alert" }, problem),
          h(
            "div",
            { class: "actions" },
            h("button", { type: "button", class: "button", onclick: () => dialog.close() }, "Cancel"),
            h("button", { type: "submit", class: danger ? "button danger" : "button primary", disabled: busy }, submit),
          ),
        ),
      );
    async function send(event) {
      event.preventDefault();
      [busy, problem] = [true, null];
      draw();
      try {
        await act(values);
        result = values;
        dialog.close();
      } catch (error) {
        [busy, problem] = [false, error.message];
        draw();
      }
    }
    show(dialog, draw, () => resolve(result));
  });
}

function input(field, values) {
  const shared = {
    name: field.name,
    value: values[field.name],
    required: field.required,
    oninput: (event) => {
      values[field.name] = event.target.value;
    },
  };
  return h(
    "label",
    { key: field.name },
    h("span", null, field.label),
    field.options
      ? h(
          "select",
          shared,
          field.options.map((name) => h("option", { key: name, value: name }, name)),
        )
      : field.type === "area"
        ? h("textarea", { ...shared, rows: 4, spellcheck: "false" })
        : h("input", { ...shared, type: field.type ?? "text", autocomplete: "off", spellcheck: "false" }),
    field.hint && h("small", { class: "dim" }, field.hint),
  );
}

function show(dialog, draw, closed) {
  dialog.setAttribute("aria-labelledby", "dialog-title");
  draw();
  document.getElementById("dialogs").append(dialog);
  dialog.addEventListener("close", () => {
    dialog.remove();
    closed();
  });
  dialog.showModal();
}

/** Asks for the token until one is given. */
export async function askToken(wrong) {
  for (;;) {
    const values = await showForm({
      title: "Token",
      submit: "Open",
      text: wrong
        ? "The server refused the token. Enter the one that it was started with."
        : "This server wants the token that it was started with. It is kept until this tab is closed.",
      fields: [{ name: "token", label: "Token", type: "password", required: true }],
    });
    const token = values?.token.trim();
    if (token && /^[\x21-\x7e]+$/.test(token)) return token;
  }
}

const KEYS = [
  ["1 … 8", "open a view"],
  ["/", "filter"],
  ["↑ ↓, j k", "go to another row"],
  ["← →", "fold and unfold a branch of the tree"],
  ["Enter", "open a row"],
  ["Esc", "leave the filter; go back from a process"],
  ["p", "pause and continue"],
  ["?", "these keys"],
];

/** Shows the keys. */
export function showKeys() {
  const dialog = document.createElement("dialog");
  const draw = () =>
    render(
      dialog,
      h(
        "form",
        { method: "dialog" },
        h("h2", { id: "dialog-title" }, "Keys"),
        h(
          "dl",
          { class: "keys" },
          KEYS.map(([key, text]) => h("div", { key }, h("dt", null, h("kbd", null, key)), h("dd", null, text))),
        ),
        h("div", { class: "actions" }, h("button", { type: "submit", class: "button" }, "Close")),
      ),
    );
  show(dialog, draw, () => {});
}
