"use strict";
{
  const UNITS = { µs: 1e-6, ms: 1e-3, s: 1, KiB: 1024, MiB: 1024 ** 2, "%": 0.01 };

  // What a cell is worth; nothing where it is no figure.
  const number = (text) => {
    const found = /^[~✓✗ ]*(-?[\d,]*\.?\d+(?:e[-+]?\d+)?)\s*(µs|ms|s|KiB|MiB|%)?(?!\w)/.exec(text);
    return found ? Number(found[1].replaceAll(",", "")) * (UNITS[found[2]] ?? 1) : -Infinity;
  };

  const sort = (head) => {
    const table = head.closest("table");
    const at = head.cellIndex;
    const down = head.getAttribute("aria-sort") === "ascending";
    for (const other of table.querySelectorAll("[aria-sort]")) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const text = (row) => row.cells[at].textContent;
    const compare = (a, b) => (head.className === "number" && number(text(a)) - number(text(b)))
      || text(a).localeCompare(text(b), undefined, { numeric: true });
    const rows = [...table.tBodies[0].rows].sort((a, b) => (down ? -1 : 1) * compare(a, b));
    table.tBodies[0].append(...rows);
  };

  // Every word must be there.
  const filter = (section, words) => {
    const kept = (text) => words.every((word) => text.toLowerCase().includes(word));
    for (const figure of section.querySelectorAll("figure")) figure.hidden = !kept(figure.textContent);
    for (const row of section.querySelectorAll("tbody tr")) {
      row.hidden = !kept(`${row.closest("details").querySelector("summary").textContent} ${row.textContent}`);
    }
    for (const part of section.querySelectorAll(".group, .sheet")) {
      part.hidden = !part.querySelector("figure:not([hidden]), tbody tr:not([hidden])");
    }
  };

  document.addEventListener("click", ({ target }) => { const head = target.closest("thead th"); if (head) sort(head); });
  document.addEventListener("input", ({ target }) => {
    filter(target.closest("section"), target.value.toLowerCase().split(/\s+/).filter(Boolean));
  });
}
