"use strict";
(() => {
  // Sorts the list by a column; a second click turns the order round.
  const list = document.getElementById("list");
  const headings = [...list.tHead.rows[0].cells];
  const key = (row, column) => {
    const cell = row.cells[column];
    const value = cell.dataset.value ?? cell.textContent;
    const number = Number(value);
    return value === "" || Number.isNaN(number) ? value : number;
  };
  const compare = (a, b) =>
    typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });
  const empty = (row, column) => row.cells[column].textContent === "–";
  const sort = (column) => {
    const turn = headings[column].ariaSort === "ascending" ? -1 : 1;
    headings.forEach((heading, at) => {
      heading.ariaSort = at !== column ? "none" : turn === 1 ? "ascending" : "descending";
    });
    const body = list.tBodies[0];
    const rows = [...body.rows];
    rows.sort((a, b) => empty(a, column) - empty(b, column) || turn * compare(key(a, column), key(b, column)));
    body.append(...rows);
  };
  headings.forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    button.addEventListener("click", () => sort(column));
    heading.append(button);
  });

  // Opens what is around the quantizer that a link leads to.
  const reveal = () => {
    const target = document.getElementById(location.hash.slice(1));
    if (!target?.classList.contains("card")) return;
    for (let at = target.parentElement; at; at = at.parentElement) {
      if (at.tagName === "DETAILS") at.open = true;
    }
    target.scrollIntoView();
    target.parentElement.querySelector("summary").focus({ preventScroll: true });
  };
  addEventListener("hashchange", reveal);
  reveal();
  // A second click on the same link changes no address.
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a");
    if (link?.hash === location.hash) setTimeout(reveal);
  });

  // Opens and closes the whole model.
  const tree = document.querySelector(".tree");
  const tools = document.createElement("div");
  tools.className = "tools";
  const tool = (name, act) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = name;
    button.addEventListener("click", act);
    tools.append(button);
  };
  const all = (selector, open) => tree.querySelectorAll(selector).forEach((part) => { part.open = open; });
  tool("Open modules", () => all(".module", true));
  tool("Open everything", () => all("details", true));
  tool("Close everything", () => all("details", false));
  tree.before(tools);
})();
