// Numbers as people read them. A value that is not known is shown as a dash.

const NONE = "–";
const whole = new Intl.NumberFormat("en-US");
const known = (value) => typeof value === "number" && Number.isFinite(value);

/** 1,234,567 */
export const count = (value) => (known(value) ? whole.format(value) : NONE);

/** 0, 0.25, 12.3, 1,234 */
export function rate(value) {
  if (!known(value)) return NONE;
  if (value === 0 || Math.abs(value) >= 100) return whole.format(Math.round(value));
  return value.toFixed(value < 1 ? 2 : 1);
}

/** 1,234 or 12.3 k, 4.56 M: for the scales of charts. */
export function short(value) {
  if (!known(value)) return NONE;
  for (const [size, sign] of [
    [1e9, "G"],
    [1e6, "M"],
    [1e4, "k"],
  ]) {
    if (Math.abs(value) >= size) return `${trim(value / (sign === "k" ? 1e3 : size))}${sign}`;
  }
  return Number.isInteger(value) || value >= 100 ? whole.format(Math.round(value)) : trim(value);
}

const trim = (value) => String(+value.toPrecision(3));

/** 512 B, 208 KiB, 1.5 MiB */
export function bytes(value) {
  if (!known(value)) return NONE;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (Math.abs(value) >= 1024 && unit < units.length - 1) [value, unit] = [value / 1024, unit + 1];
  return `${unit && value < 99.95 ? +value.toFixed(1) : Math.round(value)}\u00a0${units[unit]}`;
}

/** 12 µs, 3.4 ms, 1.2 s, 3 m 12 s, 2 h 5 m, 4 d 3 h */
export function seconds(value) {
  if (!known(value)) return NONE;
  if (value === 0) return "0\u00a0s";
  if (value < 0.000_999_5) return `${Math.round(value * 1e6)}\u00a0µs`;
  if (value < 0.999_5) return `${+(value * 1e3).toPrecision(value < 0.1 ? 2 : 3)}\u00a0ms`;
  if (value < 10) return `${value.toFixed(1)}\u00a0s`;
  const left = Math.round(value);
  if (left < 60) return `${left}\u00a0s`;
  for (const [size, sign, below, small] of [
    [86400, "d", 3600, "h"],
    [3600, "h", 60, "m"],
    [60, "m", 1, "s"],
  ]) {
    if (left >= size)
      return `${Math.floor(left / size)}\u00a0${sign} ${Math.floor((left % size) / below)}\u00a0${small}`;
  }
}

/** 42 % */
export function percent(share) {
  if (!known(share)) return NONE;
  if (share > 0 && share < 0.001) return "<\u00a00.1\u00a0%";
  return `${share > 0 && share < 0.0995 ? (share * 100).toFixed(1) : Math.round(share * 100)}\u00a0%`;
}

/** 14:03:59.120, by the browser's clock zone */
export function clock(when, millis = true) {
  const date = new Date(when);
  if (Number.isNaN(date.getTime())) return NONE;
  const two = (number) => String(number).padStart(2, "0");
  const text = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  return millis ? `${text}.${String(date.getMilliseconds()).padStart(3, "0")}` : text;
}

/** A fact of a program: any JSON value on one line. */
export function fact(value) {
  if (value === null || value === undefined) return NONE;
  if (typeof value === "number") return Number.isInteger(value) ? whole.format(value) : String(value);
  if (typeof value === "object") {
    const parts = Array.isArray(value)
      ? value.map(fact)
      : Object.entries(value).map(([name, part]) => `${name} ${fact(part)}`);
    return parts.length ? parts.join(", ") : NONE;
  }
  return String(value);
}
