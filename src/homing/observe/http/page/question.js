// A question that a view asks again and again, as long as it is open.

import { ask, Refused } from "./api.js";

export class Question {
  /** fields(): of the next request; null: ask nothing. every: items of the live stream between two questions. */
  constructor(app, what, fields = () => ({}), every = 1) {
    this._app = app;
    this._what = what;
    this._fields = fields;
    this._every = every;
    this._abort = null;
    this._closed = false;
    this._ticks = 0;
    this.answer = null;
    this.error = null; // why there is no answer: of the request, not of the connection
    this.again();
  }

  tick() {
    this._ticks += 1;
    if (!this._abort && this._ticks >= this._every) this.again();
  }

  /** Asks now: the fields have changed. */
  async again() {
    this._ticks = 0;
    this._abort?.abort();
    const fields = this._fields();
    if (fields === null || this._closed) return;
    const abort = (this._abort = new AbortController());
    try {
      const answer = await ask(this._what, fields, abort.signal);
      if (abort.signal.aborted) return;
      this.answer = answer;
      this.error = null;
    } catch (error) {
      if (abort.signal.aborted) return;
      this.error = error instanceof Refused && error.status !== 503 ? error : null; // 503: the notice tells
    }
    this._abort = null;
    this._app.draw();
  }

  close() {
    this._closed = true;
    this._abort?.abort();
  }
}
