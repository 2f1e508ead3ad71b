// The trace that runs, and the last traces.

import { Refused, stream } from "./api.js";

const MOST = 200; // traces kept

export class Tracing {
  constructor(changed) {
    this._changed = changed;
    this._abort = null;
    this._key = 0;
    this.records = [];
    this.summary = null;
    this.target = null;
    this.problem = null;
  }

  get running() {
    return this._abort !== null;
  }

  /** Starts a trace in the place of the one that runs. target: null: all sockets. */
  async start({ target, limit, seconds }) {
    this._abort?.abort();
    const abort = (this._abort = new AbortController());
    this.target = target;
    this.summary = null;
    this.problem = null;
    this._changed();
    try {
      await stream(
        "trace",
        { target, limit, seconds },
        abort.signal,
        (item) => abort.signal.aborted || this._take(item),
      );
    } catch (error) {
      if (!abort.signal.aborted) this.problem = error instanceof Refused ? error.message : "The connection was lost.";
    }
    if (this._abort === abort) this._abort = null;
    this._changed();
  }

  stop() {
    this._abort?.abort();
    this._abort = null;
    this._changed();
  }

  _take(item) {
    if (item.item === "summary") this.summary = item;
    else {
      this.records.push({ ...item, key: (this._key += 1) });
      if (this.records.length > MOST) this.records.splice(0, this.records.length - MOST);
    }
    this._changed();
  }

  /** The traces that a process has taken part in. */
  of(address) {
    return this.records.filter(
      (record) =>
        record.handlings.some((handling) => handling.process === address || handling.receiver === address) ||
        this.target === address,
    );
  }
}
