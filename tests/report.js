// What tests/report.rs wants to know of the page, tried in it; the answer is left in
// the attribute `data-found` of the document.
(async () => {
  const wrong = (holds, what) => { if (!holds) problems.push(what); };
  const pause = () => new Promise((done) => setTimeout(done, 50));
  const list = document.getElementById("list");
  const rows = () => [...list.tBodies[0].rows];
  const names = () => rows().map((row) => row.cells[0].textContent);
  const listed = names();
  const cards = [...document.querySelectorAll(".card")];
  wrong(cards.length === listed.length, "every quantizer has a card");

  [...list.tHead.rows[0].cells].forEach((heading, column) => {
    const texts = () => rows().map((row) => row.cells[column].textContent);
    const click = () => heading.querySelector("button").click();
    if (heading.ariaSort !== "none") click();
    click();
    const first = heading.ariaSort;
    const one = texts();
    click();
    const other = texts();
    wrong(first !== heading.ariaSort && first !== "none", `sorting by column ${column} turns round`);
    wrong([...one].reverse().join("\n") === other.join("\n"), `column ${column} is the same from behind`);
    wrong(new Set(names()).size === listed.length, "sorting loses no row");
    if (heading.className === "number" && first === "descending") {
      const numbers = other.map(Number.parseFloat);
      wrong(numbers.every((number, at) => at === 0 || numbers[at - 1] <= number), `column ${column} ascends`);
    }
    wrong([...list.tHead.rows[0].cells].filter((cell) => cell.ariaSort !== "none").length === 1, "one column is sorted by");
  });

  const last = rows().at(-1).querySelector("a");
  const card = document.getElementById(last.hash.slice(1));
  wrong(!card.checkVisibility(), "a card in a closed module is hidden");
  last.click();
  await pause();
  const box = card.getBoundingClientRect();
  wrong(box.height > 0 && box.top >= 0 && box.top < innerHeight, "a link leads to its card");
  wrong(card.dataset.name === last.textContent, "it is the right one");

  const [, everything, nothing] = document.querySelectorAll(".tools button");
  everything.click();
  wrong(cards.every((card) => card.checkVisibility()), "everything opens");
  wrong(document.documentElement.scrollWidth <= 1280, "nothing is wider than the window");
  nothing.click();
  wrong(!cards.some((card) => card.checkVisibility()), "everything closes");
  wrong(performance.getEntriesByType("resource").length === 0, "nothing is fetched");
  document.documentElement.dataset.found = JSON.stringify({ problems, listed });
})().catch((error) => {
  document.documentElement.dataset.found = JSON.stringify({ problems: [...problems, String(error)], listed: [] });
});
