"use strict";
// The page is whole without this: it makes tables sort and filter, opens what a link leads to, and keeps what was
// opened when the page loads itself again.
(() => {
  const key = (cell) => {
    const exact = cell.dataset.sort ?? cell.querySelector("data")?.value;
    const shown = cell.textContent.trim();
    const number = Number(exact ?? NaN);
    return { number: exact === "" || exact === undefined ? NaN : number, text: shown };
  };
  const compare = (a, b) => {
    const [x, y] = [Number.isNaN(a.number), Number.isNaN(b.number)];
    if (!x && !y) return a.number - b.number;
    if (x !== y) return x ? 1 : -1;
    return a.text.localeCompare(b.text, undefined, { numeric: true });
  };
  const sort = (table, column, ascending) => {
    const body = table.tBodies[0];
    const rows = [...body.rows].map((row, place) => [key(row.cells[column]), place, row]);
    rows.sort((a, b) => (ascending ? 1 : -1) * compare(a[0], b[0]) || a[1] - b[1]);
    body.append(...rows.map((each) => each[2]));
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const up = head.getAttribute("aria-sort") !== "ascending";
        heads.forEach((each) => each.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", up ? "ascending" : "descending");
        sort(table, column, up);
      });
    });
    const field = document.createElement("input");
    field.type = "search";
    field.placeholder = "Filter: part of a name or group";
    field.setAttribute("aria-label", "Show only samples that contain");
    const found = document.createElement("output");
    const line = document.createElement("p");
    line.className = "filter";
    line.append(field, " ", found);
    table.parentElement.before(line);
    field.addEventListener("input", () => {
      const wanted = field.value.trim().toLowerCase();
      const rows = [...table.tBodies[0].rows];
      rows.forEach((row) => {
        row.hidden = wanted !== "" && ![...row.cells].some((cell) =>
          cell.textContent.toLowerCase().includes(wanted));
      });
      const left = rows.filter((row) => !row.hidden).length;
      found.textContent = wanted ? `${left} of ${rows.length}` : "";
    });
  }
  const reveal = () => {
    const place = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!place) return;
    for (let each = place; each; each = each.parentElement) {
      if (each.tagName === "DETAILS") each.open = true;
    }
    (place.classList.contains("inside") ? place.parentElement : place).scrollIntoView();
  };
  addEventListener("hashchange", reveal);
  for (const link of document.querySelectorAll("nav a, .dots a, .worst a")) {
    link.addEventListener("click", () => setTimeout(reveal));
  }
  const sections = [...document.querySelectorAll("details.section")];
  const remembered = "opened:" + document.title;
  if (document.querySelector("meta[http-equiv=refresh]")) {
    try {
      const kept = JSON.parse(sessionStorage.getItem(remembered) ?? "null");
      sections.forEach((each, place) => { if (kept) each.open = kept[place] ?? each.open; });
      addEventListener("pagehide", () =>
        sessionStorage.setItem(remembered, JSON.stringify(sections.map((each) => each.open))));
    } catch { /* a browser that keeps nothing */ }
  }
  if (location.hash) reveal();
})();
