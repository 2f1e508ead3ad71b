// The state of the node, live: one stream, which is opened again when it ends, and closed while nobody looks.

import { ask, Refused, stream } from "./api.js";
import { Recorder } from "./history.js";

const INTERVAL = 1; // seconds between two items
const MOST_SOCKETS = 200;
const LATE = 3500; // milliseconds without an item after which the node is said not to answer
const LOST = 1500; // the same without a connection
const RETRIES = [500, 1000, 2000, 3000]; // milliseconds before the next try
const SLOW_EVERY = 5; // items between two questions about health

export class Live {
  constructor(changed) {
    this.changed = changed; // called after each change, at most some times a second
    this.recorder = new Recorder();
    this.node = null;
    this.sockets = [];
    this.socketsLeftOut = 0;
    this.health = null;
    this.connected = false;
    this.paused = false;
    this.problem = null; // why there is no stream
    this.restarts = 0; // of the node, as seen from here
    this.items = 0;
    this._heard = Date.now();
    this._abort = null;
    this._tries = 0;
    this._timer = null;
    this._state = null; // what the stream has told: a snapshot with all changes
    setInterval(() => this.silent && this.changed(), 1000);
    document.addEventListener("visibilitychange", () => this._follow());
    addEventListener("pagehide", () => this._close());
  }

  start() {
    this._follow();
  }

  /** Stops or continues everything that moves. */
  pause(paused) {
    this.paused = paused;
    this._follow();
    this.changed();
  }

  get stopped() {
    return this.paused || document.hidden;
  }

  /** Seconds for which the node has not answered; 0 if it does. */
  get silent() {
    const passed = Date.now() - this._heard;
    return !this.stopped && passed > (this.connected ? LATE : LOST) ? Math.floor(passed / 1000) : 0;
  }

  _follow() {
    if (this.stopped) this._close();
    else if (!this._abort) this._open();
  }

  _close() {
    clearTimeout(this._timer);
    this._abort?.abort();
    this._abort = null;
    this.connected = false;
  }

  async _open() {
    const abort = (this._abort = new AbortController());
    this._heard = Date.now();
    this.recorder.interrupt(Date.now() / 1000);
    this._state = null;
    try {
      const query = { interval: INTERVAL, sockets: { limit: MOST_SOCKETS, sort: "packets_in" } };
      await stream("watch", query, abort.signal, (item) => abort.signal.aborted || this._take(item));
      this._again(abort, null);
    } catch (error) {
      this._again(abort, error);
    }
  }

  _again(abort, error) {
    if (abort.signal.aborted) return;
    abort.abort();
    this.connected = false;
    this.problem = error instanceof Refused ? error.message : null;
    const wait = RETRIES[Math.min(this._tries++, RETRIES.length - 1)];
    this._timer = setTimeout(() => this.stopped || this._reopen(), wait);
    this.changed();
  }

  _reopen() {
    const heard = this._heard;
    this._open();
    this._heard = heard; // it has not answered since then
  }

  _take(item) {
    const before = this.node;
    this._state = item.snapshot ?? apply(this._state, item.delta);
    const { node, sockets } = this._state;
    this.node = node;
    this.sockets = sockets?.order?.map((alias) => sockets.rows[alias]) ?? [];
    this.socketsLeftOut = sockets?.more ?? 0;
    if (before && (before.os_pid !== this.node.os_pid || before.uptime > this.node.uptime + 1)) {
      this.restarts += 1;
      this.recorder.interrupt(Date.now() / 1000);
    }
    this.recorder.add(Date.now() / 1000, this.node, this.sockets);
    this.connected = true;
    this.problem = null;
    this._tries = 0;
    this._heard = Date.now();
    if (this.items++ % SLOW_EVERY === 0) this._ask_health();
    this.changed(true);
  }

  async _ask_health() {
    try {
      this.health = await ask("health", {}, this._abort?.signal);
    } catch {
      this.health = null; // the stream tells what is wrong
    }
  }
}

/** Returns a state with a JSON merge patch (RFC 7396): null removes a field. */
export function apply(state, patch) {
  if (patch === null || typeof patch !== "object" || Array.isArray(patch)) return patch;
  const merged = state !== null && typeof state === "object" && !Array.isArray(state) ? { ...state } : {};
  for (const [name, change] of Object.entries(patch)) {
    if (change === null) delete merged[name];
    else merged[name] = apply(merged[name], change);
  }
  return merged;
}
