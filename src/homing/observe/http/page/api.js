// Requests and streams of the node's HTTP API. The token stays in this tab's session storage, and is sent as a header.

const TOKEN = "homing-token";
const MOST_PENDING = 4_000_000; // characters of one event of a stream

export class Refused extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

let askToken = async () => null;

/** Sets what is called if the server wants a token: an asynchronous function that returns one. */
export function onToken(ask) {
  askToken = ask;
}

let asking = null;

async function newToken(wrong) {
  asking ??= askToken(wrong)
    .then((token) => sessionStorage.setItem(TOKEN, token))
    .finally(() => (asking = null));
  await asking;
}

async function send(path, options = {}) {
  for (;;) {
    const token = sessionStorage.getItem(TOKEN);
    const headers = { ...options.headers, ...(token && { Authorization: `Bearer ${token}` }) };
    const response = await fetch(path, { ...options, headers, cache: "no-store", credentials: "omit" });
    if (response.status === 401) {
      if (token === sessionStorage.getItem(TOKEN)) await newToken(token !== null);
      continue;
    }
    if (!response.ok) throw await refusal(response);
    return response;
  }
}

async function refusal(response) {
  try {
    const { error } = await response.json();
    return new Refused(response.status, error.code, error.message);
  } catch {
    return new Refused(response.status, "failed", `HTTP status ${response.status}`);
  }
}

function path(what, fields) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(fields)) {
    if (value !== null && value !== undefined && value !== "")
      query.set(name, typeof value === "object" ? JSON.stringify(value) : value);
  }
  return `api/v1/${what}${query.size ? `?${query}` : ""}`;
}

/** Asks a question. Raises `Refused`, or TypeError if the server does not answer. */
export async function ask(what, fields = {}, signal = undefined) {
  const response = await send(path(what, fields), { signal });
  return response.json();
}

/** Returns the names of all requests and streams that the server knows. */
export async function known() {
  const { paths } = await (await send("openapi.json")).json();
  return new Set(Object.keys(paths).map((name) => name.replace("/api/v1/", "")));
}

/** Asks for a change. */
export async function change(what, fields) {
  const headers = { "Content-Type": "application/json" };
  const response = await send(`api/v1/${what}`, { method: "POST", headers, body: JSON.stringify(fields) });
  return response.json();
}

/** Calls `item` with each item of a stream, and `sign` with anything that arrives: with the seconds for which the node
 * has not answered, 0 if it does. Returns when the stream ends. */
export async function stream(what, fields, signal, item, sign = () => {}) {
  const response = await send(path(`stream/${what}`, fields), { signal, headers: { Accept: "text/event-stream" } });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let pending = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    pending += value.replaceAll("\r", "");
    const events = pending.split("\n\n");
    pending = events.pop();
    if (pending.length > MOST_PENDING) throw new Refused(0, "failed", "an item of the stream is too long");
    for (const event of events) if (read(event, item, sign)) return;
  }
}

/** Reads one event. Returns true for the one that ends the stream. */
function read(event, item, sign) {
  let name = "message";
  const data = [];
  for (const line of event.split("\n")) {
    if (line.startsWith("event:")) name = line.slice(6).trim();
    if (line.startsWith("data:")) data.push(line.slice(5).trimStart());
  }
  if (name !== "silent") sign(0);
  if (name === "end") return true;
  if (!data.length) return false;
  const value = JSON.parse(data.join("\n"));
  if (name === "error") throw new Refused(0, value.code ?? "failed", value.message ?? "the stream has ended");
  if (name === "silent") sign(value.seconds);
  else item(value);
  return false;
}
