// Lists of which Tab reaches one row; the arrow keys, Home and End, or j and k, go on from there.

const STEPS = { ArrowDown: 1, j: 1, ArrowUp: -1, k: -1, PageDown: 10, PageUp: -10, Home: -Infinity, End: Infinity };

let last = null; // the row that had the focus last

/** Lets Tab reach one row of each list: the one that has or had the focus, otherwise the first. */
export function rove(root) {
  for (const list of root.querySelectorAll("[data-rove]")) {
    const rows = [...list.querySelectorAll(".row")];
    const here = rows.find((row) => row === last) ?? rows[0];
    for (const row of rows) if (row.tabIndex !== (row === here ? 0 : -1)) row.tabIndex = row === here ? 0 : -1;
  }
}

addEventListener("focusin", (event) => {
  if (event.target.matches?.("[data-rove] .row")) {
    last = event.target;
    rove(document);
  }
});

/** Handles a key pressed in a list. Returns true if it was one of these. */
export function walk(event) {
  const step = STEPS[event.key];
  if (step === undefined || event.ctrlKey || event.metaKey || event.altKey || !event.target.matches(".row"))
    return false;
  const rows = [...event.currentTarget.querySelectorAll(".row")];
  const to = Math.max(0, Math.min(rows.length - 1, rows.indexOf(event.target) + step));
  event.preventDefault();
  rows[to].focus();
  rows[to].scrollIntoView({ block: "nearest" });
  return true;
}
