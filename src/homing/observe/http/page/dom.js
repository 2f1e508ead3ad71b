// Makes the page from descriptions of elements: h() describes one, render() changes the document to match.
// Elements that match stay, so focus, selection and scroll positions survive each second's update. Texts become text
// nodes and attributes only: nothing that a program or the network has named is read as HTML.

const HIDDEN =
  /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]|\p{Cs}/gu;
const MOST_TEXT = 20000;

/** Returns a text without characters that are invisible or reorder others; they are shown as \u{...}. */
export function clean(text) {
  const short = String(text).slice(0, MOST_TEXT);
  return short.replace(HIDDEN, (sign) => `\\u{${sign.codePointAt(0).toString(16)}}`);
}

/** Describes an element. Children: descriptions, texts, numbers, nested lists; null and false are left out. */
export function h(tag, props, ...children) {
  return { tag, key: props?.key, props: props ?? {}, children: props?.widget ? [] : flat(children) };
}

function flat(children) {
  return children
    .flat(Infinity)
    .filter((child) => child !== null && child !== undefined && child !== false && child !== true && child !== "")
    .map((child) => (typeof child === "object" ? child : { tag: "#text", text: clean(child), props: {} }));
}

/** Changes the children of an element to match descriptions. */
export function render(parent, ...children) {
  const active = document.activeElement;
  patchChildren(parent, flat(children));
  if (active && active !== document.activeElement && active.isConnected) active.focus({ preventScroll: true });
}

const drawn = new WeakMap(); // the description that an element matches

function patchChildren(parent, wanted) {
  const keyed = new Map();
  const free = new Map();
  for (const node of parent.childNodes) {
    const old = drawn.get(node);
    if (old?.key !== undefined) keyed.set(old.key, node);
    else if (old && free.has(old.tag)) free.get(old.tag).push(node);
    else if (old) free.set(old.tag, [node]);
  }
  for (const list of free.values()) list.reverse();
  const kept = new Set();
  const nodes = wanted.map((item) => {
    let node = item.key !== undefined ? keyed.get(item.key) : free.get(item.tag)?.pop();
    if (!node || drawn.get(node).tag !== item.tag || kept.has(node)) node = create(item);
    kept.add(node);
    patch(node, item);
    return node;
  });
  for (const node of [...parent.childNodes]) if (!kept.has(node)) remove(node);
  let place = parent.firstChild;
  for (const node of nodes) {
    if (node === place) place = place.nextSibling;
    else parent.insertBefore(node, place);
  }
}

function create(item) {
  const node = item.tag === "#text" ? document.createTextNode("") : document.createElement(item.tag);
  drawn.set(node, { tag: item.tag, key: item.key, props: {} });
  return node;
}

const widgets = new WeakMap();

function remove(node) {
  if (node.querySelectorAll) for (const inner of [node, ...node.querySelectorAll("*")]) widgets.get(inner)?.destroy();
  node.remove();
}

function patch(node, item) {
  const old = drawn.get(node);
  if (old === item) return; // a view may keep the description of what does not change
  drawn.set(node, item);
  if (item.tag === "#text") {
    if (node.data !== item.text) node.data = item.text;
    return;
  }
  for (const name in old.props) if (!(name in item.props)) set(node, name, undefined);
  for (const name in item.props) if (item.props[name] !== old.props[name]) set(node, name, item.props[name]);
  if (item.props.widget) {
    if (!widgets.has(node)) widgets.set(node, item.props.widget(node));
    widgets.get(node).update(item.props.data);
  } else patchChildren(node, item.children);
}

const PROPERTIES = new Set(["value", "checked", "disabled", "selected", "open", "indeterminate"]);

function set(node, name, value) {
  if (name === "key" || name === "widget" || name === "data") return;
  if (name.startsWith("on"))
    node[name] = value
      ? (event) => {
          value(event);
        }
      : null; // a result of false would cancel it
  else if (name === "style") for (const part in value ?? {}) node.style.setProperty(part, value[part]);
  else if (PROPERTIES.has(name)) node[name] = value ?? (name === "value" ? "" : false);
  else if (value === undefined || value === null || value === false) node.removeAttribute(name);
  else node.setAttribute(name, value === true ? "" : clean(value));
}
