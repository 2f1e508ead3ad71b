// What the charts show: one row a second for an hour at most, in buffers that never grow.

export const ROWS = 3600;
const LONGEST = 6; // seconds between two rows that a line connects: of several nodes, one that hangs delays them
const MOST_CAUSES = 16; // more causes are added up as "other"

export class History {
  constructor(rows = ROWS) {
    this.rows = rows;
    this.clear();
  }

  clear() {
    this.count = 0; // rows ever pushed
    this.times = new Float64Array(this.rows);
    this.series = new Map();
  }

  /** Adds a row: `values` by the name of their series. A series that is left out has a gap. */
  push(time, values) {
    const place = this.count % this.rows;
    this.times[place] = time;
    for (const name in values) {
      if (!this.series.has(name)) this.series.set(name, new Float64Array(this.rows).fill(NaN));
    }
    for (const [name, column] of this.series) column[place] = values[name] ?? NaN;
    this.count += 1;
  }

  /** Adds a gap: what comes next is not connected with what was before. */
  gap(time) {
    if (this.count) this.push(time, {});
  }

  /** The time of the oldest row; Infinity: there is none. */
  get first() {
    if (!this.count) return Infinity;
    return this.times[this.count > this.rows ? this.count % this.rows : 0];
  }

  /** Returns the rows of the last `seconds` as uPlot has them: times, then a list for each name; null is a gap. */
  window(names, seconds, now) {
    const first = Math.max(0, this.count - this.rows);
    const places = [];
    for (let index = this.count - 1; index >= first; index -= 1) {
      if (this.times[index % this.rows] < now - seconds) break;
      places.push(index % this.rows);
    }
    places.reverse();
    const column = (name) => {
      const values = this.series.get(name);
      return places.map((place) => (values && !Number.isNaN(values[place]) ? values[place] : null));
    };
    return [places.map((place) => this.times[place]), ...names.map(column)];
  }
}

const sum = (rows, name) =>
  rows.reduce((total, row) => ((row[name] ?? null) === null ? total : (total ?? 0) + row[name]), null);

/** Makes the rows of the overview from what a node tells each second. */
export class Recorder {
  constructor() {
    this.history = new History();
    this.causes = []; // in order of their first appearance
    this.totals = new Map(); // drops by cause, of the sockets that are open now
    this.rates = new Map();
    this.latest = {}; // the last row
    this._before = null;
  }

  /** Forgets counters: the node is another one, or was not watched for a while. */
  interrupt(time) {
    this.history.gap(time);
    this._before = null;
    this.rates = new Map();
  }

  add(time, node, sockets) {
    const counters = new Map(
      sockets.map((row) => [row.alias, new Map(row.drops.map((drop) => [this._cause(drop), drop.count]))]),
    );
    this.totals = new Map();
    for (const counts of counters.values()) for (const [cause, number] of counts) this._add(this.totals, cause, number);
    this.rates = new Map();
    const passed = this._before && time - this._before.time;
    if (passed > LONGEST) this.history.gap(time);
    if (passed > 0) {
      for (const cause of this.causes) this.rates.set(cause, 0);
      for (const [alias, counts] of counters) {
        const old = this._before.counters.get(alias);
        if (!old) continue;
        for (const [cause, number] of counts)
          this._add(this.rates, cause, Math.max(0, number - (old.get(cause) ?? 0)) / passed);
      }
    }
    this._before = { time, counters };
    const values = { lag: node.loop_lag, memory: node.memory, processes: node.processes, running: node.running };
    for (const name of ["packets_in", "packets_out", "bytes_in", "bytes_out", "dropped_in", "dropped_out"]) {
      values[name] = sockets.length ? sum(sockets, `${name}_rate`) : 0;
    }
    for (const [cause, number] of this.rates) values[`drop ${cause}`] = number;
    this.latest = values;
    this.history.push(time, values);
  }

  _add(map, cause, number) {
    map.set(cause, (map.get(cause) ?? 0) + number);
  }

  _cause(drop) {
    const name = `${drop.direction} ${drop.cause}`;
    if (this.causes.includes(name)) return name;
    const kept = this.causes.length < MOST_CAUSES ? name : `${drop.direction} other`;
    if (!this.causes.includes(kept)) this.causes.push(kept);
    return kept;
  }
}
