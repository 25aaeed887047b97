"use strict";
{
  const { templates, rows, charts } = JSON.parse(document.getElementById("data").textContent);
  for (const chart of Object.values(charts)) chart.rows = rows[chart.rows];
  const views = new Map(); // promises, by the id of a chart's element
  const each = (selector, act, root = document) => root.querySelectorAll(selector).forEach(act);
  const LETTERS = 13; // pixels between two names at the ends of lines

  // ---- charts ----

  async function show(element) {
    const width = element.clientWidth;
    if (!width) return; // it is hidden, and drawn when it no longer is
    const chart = charts[element.id];
    if (!views.has(element.id)) views.set(element.id, drawn(element, chart, width));
    const view = await views.get(element.id);
    view.width(width).data("rows", chart.shown).run();
    if (templates[chart.template].data.some((source) => source.name === "labels")) {
      view.data("labels", ends(chart, view)).run();
    }
  }

  async function drawn(element, chart, width) {
    let text = JSON.stringify(templates[chart.template]);
    for (const word of ["x", "y", "form", "unit", "who"]) {
      text = text.replaceAll(`{${word}}`, JSON.stringify(chart.words[word] ?? "").slice(1, -1));
    }
    const spec = { ...JSON.parse(text), width };
    for (const source of spec.data) {
      if (source.name === "rows") source.values = chart.shown;
      if (source.name === "labels") source.values = ends(chart); // an empty one would have no extent
    }
    return (await vegaEmbed(element, spec, { mode: "vega", renderer: "svg", actions: false, tooltip: { theme: "custom" } })).view;
  }

  // The names of lines at their last points, or of points, moved down and then up where they would lie on each other.
  function ends({ shown, words: { who } }, view) {
    const last = new Map();
    for (const row of shown) {
      const name = who === undefined ? row.contender ?? row.limit : row.contender === who && row.number;
      const before = last.get(name);
      if (name && (!before || row.x === undefined || (row.line === before.line && row.x >= before.x))) last.set(name, row);
    }
    const [x, y] = view ? [view.scale("x"), view.scale("y")] : [() => 0, () => 0];
    const names = [...last].map(([text, row]) => ({ ...row, text, pixel: y(row.value), column: who === undefined ? 0 : x(row.x) }));
    names.sort((a, b) => a.pixel - b.pixel);
    const near = (a, b) => Math.abs(a.column - b.column) < 2 * LETTERS;
    names.forEach((name, at) => {
      for (const other of names.slice(0, at)) if (near(name, other)) name.pixel = Math.max(name.pixel, other.pixel + LETTERS);
    });
    names.reverse().forEach((name, at) => {
      name.pixel = Math.min(name.pixel, view?.height() ?? 0);
      for (const other of names.slice(0, at)) if (near(name, other)) name.pixel = Math.min(name.pixel, other.pixel - LETTERS);
    });
    return names;
  }

  // ---- what the reader chooses ----

  const fields = ["case", "contender", "measure"];

  function chosen(section) {
    const form = section.querySelector("form.filter");
    const choice = { order: form?.elements.order?.value ?? "" };
    for (const field of fields) {
      const boxes = form ? [...form.querySelectorAll(`input[name=${field}]`)] : [];
      const select = form?.elements.measure;
      if (boxes.length) {
        choice[field] = { known: new Set(boxes.map((box) => box.value)), on: new Set(boxes.filter((box) => box.checked).map((box) => box.value)) };
      } else if (field === "measure" && select?.value) {
        choice[field] = { known: new Set([...select.options].map((option) => option.value)), on: new Set([select.value]) };
      }
    }
    return choice;
  }

  // Rows that have no such field, or a value that is not among the choices, are shown whatever is chosen.
  const kept = (row, choice) => fields.every((field) => {
    const values = choice[field];
    return !values || row[field] === undefined || !values.known.has(row[field]) || values.on.has(row[field]);
  });

  function compare(order) {
    if (order === "value") return (a, b) => number(b.value) - number(a.value);
    return (a, b) => String(a[order] ?? "").localeCompare(String(b[order] ?? ""), undefined, { numeric: true });
  }

  // A row of a chart whose best is its least, as seconds are, is sorted from below.
  function sorted(rows, order, least) {
    if (!order) return rows;
    const compared = compare(order);
    return [...rows].sort((a, b) => (order === "value" && least ? -1 : 1) * compared(a, b));
  }

  function apply(section) {
    const choice = chosen(section);
    let count = 0, all = 0;
    each(".chart", (element) => {
      const chart = charts[element.id];
      const rows = chart.rows.filter((row) => kept(row, choice));
      const { who } = chart.words;
      element.closest("figure").hidden = !(who === undefined ? rows.length : rows.some((row) => row.contender === who));
      const ranked = chart.words.x ? rows : sorted(rows, choice.order, ["bars", "stages"].includes(chart.template));
      chart.shown = ranked.map((row, rank) => ({ ...row, rank }));
    }, section);
    each(".group", (group) => { group.hidden = !group.querySelector("figure:not([hidden])"); }, section);
    const shown = [...section.querySelectorAll(".chart")].map(show);
    each("table", (table) => {
      const rows = [...table.tBodies[0].rows];
      rows.forEach((row, at) => {
        row.dataset.at ??= at;
        row.hidden = !kept(row.dataset, choice);
        count += !row.hidden;
        all += 1;
      });
      const order = choice.order;
      const compared = order ? (a, b) => compare(order)(a.dataset, b.dataset) : (a, b) => a.dataset.at - b.dataset.at;
      if (section.dataset.order !== order) { table.tBodies[0].append(...rows.sort(compared)); unsorted(table); }
      [...table.tHead.rows[0].cells].forEach((head, at) => {
        if (!head.dataset.contender) return;
        const off = !kept(head.dataset, choice);
        for (const row of table.rows) row.cells[at].hidden = off;
      });
      table.closest("details").hidden = !rows.some((row) => !row.hidden);
    }, section);
    section.dataset.order = choice.order;
    each(".menu", (menu) => {
      const boxes = [...menu.querySelectorAll("input")];
      menu.querySelector("output").textContent = `${boxes.filter((box) => box.checked).length} of ${boxes.length}`;
    }, section);
    each("[data-status]", (status) => { status.textContent = `${count} of ${all} rows`; }, section);
    return Promise.all(shown);
  }

  // ---- tables ----

  const UNITS = { µs: 1e-6, ms: 1e-3, s: 1, KiB: 1024, MiB: 1024 ** 2, "%": 0.01, M: 1e6 };

  // What a cell is worth; NaN where it is no figure.
  function number(text) {
    const found = /^[~✓✗ ]*(-?[\d,]*\.?\d+(?:e[-+]?\d+)?)\s*(µs|ms|s|KiB|MiB|%|M)?(?![\w])/.exec(String(text ?? ""));
    return found ? Number(found[1].replaceAll(",", "")) * (UNITS[found[2]] ?? 1) : -Infinity;
  }

  function unsorted(table) {
    each("th[aria-sort]", (head) => head.removeAttribute("aria-sort"), table);
  }

  function sort(head) {
    const table = head.closest("table");
    const at = head.cellIndex;
    const down = head.getAttribute("aria-sort") === "ascending";
    unsorted(table);
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const text = (row) => row.cells[at].textContent;
    const figures = head.classList.contains("number");
    const compared = (a, b) => figures && number(text(a)) !== number(text(b))
      ? number(text(a)) - number(text(b)) : text(a).localeCompare(text(b), undefined, { numeric: true });
    const rows = [...table.tBodies[0].rows].sort((a, b) => (down ? -1 : 1) * compared(a, b));
    table.tBodies[0].append(...rows);
  }

  // ---- theme, paper, and everything that is pressed ----

  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const store = (() => { try { return window.localStorage; } catch { return null; } })();
  const paint = () => { root.dataset.theme = store?.getItem("theme") ?? (dark.matches ? "dark" : "light"); };
  paint();
  dark.addEventListener("change", paint);

  function turn() {
    const theme = root.dataset.theme === "dark" ? "light" : "dark";
    root.dataset.theme = theme;
    store?.setItem("theme", theme);
  }

  function copy(button) {
    const code = button.previousElementSibling;
    getSelection().selectAllChildren(code);
    navigator.clipboard?.writeText(code.textContent).catch(() => {});
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    each("details.menu[open]", (menu) => { if (!menu.contains(event.target)) menu.open = false; });
    if (!button) return;
    if (button.id === "theme") turn();
    else if (button.matches(".copy")) copy(button);
    else if (button.matches("thead button")) sort(button.closest("th"));
    else if (button.matches("fieldset button")) {
      each("input", (box) => { box.checked = button.value === "all"; }, button.closest("fieldset"));
      apply(button.closest("section"));
    }
  });
  document.addEventListener("change", (event) => {
    if (event.target.closest("form.filter")) apply(event.target.closest("section"));
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") each("details.menu[open]", (menu) => { menu.open = false; menu.querySelector("summary").focus(); });
  });
  each("form.filter", (form) => form.addEventListener("submit", (event) => event.preventDefault()));

  // On paper all tables are open.
  addEventListener("beforeprint", () => each("details.sheet:not([open])", (sheet) => { sheet.open = true; sheet.dataset.closed = ""; }));
  addEventListener("afterprint", () => each("details.sheet[data-closed]", (sheet) => { sheet.open = false; delete sheet.dataset.closed; }));

  Promise.all([...document.querySelectorAll("section.study")].map(apply)).then(() => {
    const observer = new ResizeObserver((entries) => entries.forEach(({ target }) => show(target)));
    each(".chart", (element) => observer.observe(element));
    root.dataset.ready = "";
  });
}
