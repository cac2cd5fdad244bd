"use strict";
// Sorting, filtering and saving of tables. The page says all without it, so what works only with it is made here.
const texts = (row, column) => row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
const number = text => Number(text.replace(/[,\s%×+]/g, "").replace("−", "-"));

function sort(table, column, button) {
  const head = button.closest("th"), down = head.getAttribute("aria-sort") === "descending";
  const rows = [...table.tBodies[0].rows], found = rows.map(row => texts(row, column));
  const numeric = found.every(text => text === "–" || !Number.isNaN(number(text)));
  const order = (a, b) => numeric ? (a === "–" ? -Infinity : number(a)) - (b === "–" ? -Infinity : number(b))
    : a.localeCompare(b, "en", {numeric: true});
  const sorted = rows.sort((a, b) => order(texts(a, column), texts(b, column)) * (down ? 1 : -1));
  table.tBodies[0].append(...sorted);
  for (const each of table.tHead.rows[0].cells) each.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", down ? "ascending" : "descending");
}

function sortable(table) {
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    button.addEventListener("click", () => sort(table, column, button));
    head.append(button);
  });
}

function filtered(table) {
  const label = document.createElement("label"), field = document.createElement("input"), told = document.createElement("span");
  field.type = "search";
  label.append(table.dataset.filter + " ", field);
  told.className = "note";
  told.setAttribute("role", "status");
  field.addEventListener("input", () => {
    const words = field.value.toLowerCase().split(/\s+/), rows = [...table.tBodies[0].rows];
    for (const row of rows) row.hidden = !words.every(word => row.textContent.toLowerCase().includes(word));
    told.textContent = `${rows.filter(row => !row.hidden).length} of ${rows.length}`;
  });
  tools(table).prepend(label, told);
}

// A cell that begins like a formula is made a text, so that a spreadsheet does not run it.
const quoted = text => `"${(/^[=+\-@\t\r]/.test(text) && Number.isNaN(Number(text)) ? "'" + text : text).replaceAll('"', '""')}"`;

function savable(table) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Save as CSV";
  button.addEventListener("click", () => {
    const rows = [table.tHead.rows[0], ...[...table.tBodies[0].rows].filter(row => !row.hidden)];
    const plain = cell => (cell.dataset.value ?? cell.textContent.trim()).replace(/−(?=\d)/g, "-");
    const lines = rows.map(row => [...row.cells].map(cell => quoted(plain(cell))).join(","));
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob(["\ufeff" + lines.join("\r\n") + "\r\n"], {type: "text/csv"}));
    link.download = table.dataset.file;
    link.click();
    URL.revokeObjectURL(link.href);
  });
  tools(table).append(button);
}

function tools(table) {
  const before = table.closest(".scroll").previousElementSibling;
  if (before?.classList.contains("tools")) return before;
  const made = document.createElement("div");
  made.className = "tools";
  table.closest(".scroll").before(made);
  return made;
}

document.querySelectorAll("table.sortable").forEach(sortable);
document.querySelectorAll("table[data-filter]").forEach(filtered);
document.querySelectorAll("table[data-file]").forEach(savable);
