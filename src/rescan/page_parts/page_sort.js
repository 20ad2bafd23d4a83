"use strict";
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
document.documentElement.classList.add("scripted");

// Tables are sorted by a button in each heading: first upwards, then downwards. References stay below.
const compared = new Intl.Collator("en", { numeric: true }).compare;
const keyOf = (row, column) => {
  const cell = row.cells[column], text = cell.dataset.value ?? cell.textContent.trim();
  return [text, parseFloat(text.replace("−", "-"))];
};
const sort = (table, column, down) => {
  const body = table.tBodies[0], rows = [...body.rows].filter((row) => !row.classList.contains("reference"));
  const followers = new Map(rows.map((row) => [row, all("tr", body).filter((other) => other.dataset.of && other.dataset.of === row.dataset.of && other !== row)]));
  const rest = [...body.rows].filter((row) => row.classList.contains("reference") && !row.dataset.of);
  const order = rows.map((row) => [row, ...keyOf(row, column)]);
  const isNumeric = order.some((entry) => !isNaN(entry[2]));
  order.sort(([, text, value], [, otherText, other]) => {
    if (!isNumeric) return (down ? -1 : 1) * compared(text, otherText);
    if (isNaN(value) || isNaN(other)) return isNaN(value) - isNaN(other);  // what has no number stays below
    return (down ? -1 : 1) * (value - other);
  });
  body.append(...order.flatMap(([row]) => [row, ...followers.get(row)]), ...rest);
};
for (const table of all("table.sortable")) {
  all("thead th", table).forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const down = heading.getAttribute("aria-sort") === "ascending";
      for (const other of all("thead th", table)) other.removeAttribute("aria-sort");
      heading.setAttribute("aria-sort", down ? "descending" : "ascending");
      sort(table, column, down);
    });
  });
}
