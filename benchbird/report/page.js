"use strict";

const data = JSON.parse(document.getElementById("data").textContent);

/* Sorting: every heading of a sortable table becomes a button. Numbers are read as they are written. */
function numberIn(text) {
  const found = text.replace(/−/g, "-").replace(/,/g, "").match(/-?\d+(\.\d+)?(e[+-]?\d+)?/i);
  return found === null ? NaN : Number(found[0]);
}

/* Where the least is the best. */
const LOW_FIRST = /^(#|ranks|.* ms|parameters|Mparam|GFLOP|time.*|.* MiB|seed|epoch|attempts)$/;
const MISSING = "–";

function sortBy(table, column, ascending) {
  const body = table.tBodies[0];
  const rows = Array.from(body.rows);
  const isNumber = table.tHead.rows[0].cells[column].classList.contains("n");
  const key = (row) => row.cells[column].textContent.trim();
  rows.sort((first, second) => {
    const missing = (key(first) === MISSING) - (key(second) === MISSING);
    if (missing !== 0) return missing;  // last, whichever way
    if (!isNumber && /^[−\d]/.test(key(first)) && /^[−\d]/.test(key(second))) {
      return (ascending ? 1 : -1) * (numberIn(key(first)) - numberIn(key(second)));
    }
    if (!isNumber) return (ascending ? 1 : -1) * key(first).localeCompare(key(second));
    const [one, other] = [numberIn(key(first)), numberIn(key(second))];
    if (Number.isNaN(one) || Number.isNaN(other)) return Number.isNaN(one) - Number.isNaN(other);
    return (ascending ? 1 : -1) * (one - other);
  });
  body.append(...rows);
}

for (const table of document.querySelectorAll("table.sortable")) {
  Array.from(table.tHead.rows[0].cells).forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const ascending = heading.getAttribute("aria-sort") === "descending" ||
        (heading.getAttribute("aria-sort") === null &&
          (!heading.classList.contains("n") || LOW_FIRST.test(button.textContent.trim())));
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      heading.setAttribute("aria-sort", ascending ? "ascending" : "descending");
      sortBy(table, column, ascending);
    });
  });
}

/* Each table as a file. The leaderboard's is in full precision, the others are as shown. */
function csvOf(table) {
  const cellOf = (cell) => {
    const text = cell.textContent.trim();
    const plain = text.replace(/−/g, "-").replace(/(\d),(?=\d{3})/g, "$1");
    if (text === MISSING) return "";
    if (/^-?\d+(\.\d+)?$/.test(plain)) return plain;
    // A spreadsheet would take these for formulas.
    return '"' + (/^[=+\-@＝＋－＠\t\r]/.test(text) ? "'" : "") + text.replace(/"/g, '""') + '"';
  };
  const lines = Array.from(table.rows).map((row) => Array.from(row.cells).map(cellOf).join(","));
  return lines.join("\r\n") + "\r\n";
}

/* Only what can be scrolled is a stop of the tab key. */
const stops = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    const scrolls = target.scrollWidth > target.clientWidth || target.scrollHeight > target.clientHeight;
    if (scrolls) target.tabIndex = 0;
    else target.removeAttribute("tabindex");
  }
});

for (const region of document.querySelectorAll(".scroll")) {
  stops.observe(region);
  const table = region.querySelector("table");
  const title = table.caption.textContent;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "download";
  button.textContent = "Download as CSV";
  button.setAttribute("aria-label", "Download as CSV: " + title);
  region.after(button);
  button.addEventListener("click", () => {
    // The mark before the text tells Excel that it is UTF-8, which CSV can't say.
    const text = table.dataset.source ? data[table.dataset.source] : csvOf(table);
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob(["\uFEFF", text], { type: "text/csv;charset=utf-8" }));
    link.download = title.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "").slice(0, 60) + ".csv";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  });
}

/* Any two segmenters against each other: the points and the table of the scatter are set anew. */
const scatter = document.getElementById("figure-scatter");
if (scatter !== null && data.labels.length > 1) {
  const form = document.getElementById("pair");
  const [selectX, selectY] = [document.getElementById("pair-x"), document.getElementById("pair-y")];
  data.labels.forEach((label, place) => {
    for (const select of [selectX, selectY]) select.add(new Option(label, String(place)));
  });
  selectX.value = "0";
  selectY.value = "1";
  form.hidden = false;
  const marks = scatter.querySelectorAll(".m");
  const [nameX, nameY] = [scatter.querySelector(".x-label"), scatter.querySelector(".y-label")];
  const table = scatter.querySelector("table");
  const box = data.box;
  const rows = Array.from(table.tBodies[0].rows);  // as the images are, however they are sorted later
  const said = document.getElementById("d-scatter");
  said.setAttribute("aria-live", "polite");
  const cut = (text) => (text.length > 30 ? text.slice(0, 29) + "…" : text);
  const show = () => {
    const [x, y] = [Number(selectX.value), Number(selectY.value)];
    let better = 0, equal = 0;
    data.ids.forEach((_, place) => {
      const [one, other] = [data.iou[x][place], data.iou[y][place]];
      better += one > other;
      equal += one === other;
      marks[place].setAttribute("cx", (box.left + (box.right - box.left) * one).toFixed(1));
      marks[place].setAttribute("cy", (box.bottom - (box.bottom - box.top) * other).toFixed(1));
      const title = data.ids[place] + ": " + one.toFixed(3) + " and " + other.toFixed(3);
      marks[place].querySelector("title").textContent = title;
      if (marks[place].parentNode.hasAttribute("href")) marks[place].parentNode.setAttribute("aria-label", title);
    });
    nameX.textContent = "IoU by " + cut(data.labels[x]);
    nameY.textContent = "IoU by " + cut(data.labels[y]);
    for (const heading of table.tHead.rows[0].cells) heading.removeAttribute("aria-sort");
    [x, y].forEach((which, column) => {
      const heading = table.tHead.rows[0].cells[column + 1];
      (heading.querySelector("button") || heading).textContent = data.labels[which];
    });
    rows.forEach((row, place) => {
      row.cells[1].textContent = data.iou[x][place].toFixed(3);
      row.cells[2].textContent = data.iou[y][place].toFixed(3);
    });
    said.textContent =
      data.labels[x] + " is better on " + better + " of " + data.ids.length + " images" +
      (equal ? ", equal on " + equal : "") + ".";
  };
  selectX.addEventListener("change", show);
  selectY.addEventListener("change", show);
  show();
}

/* The gallery: errors or predictions, one group or all, and an image enlarged. */
const tools = document.getElementById("gallery-tools");
if (tools !== null) {
  tools.hidden = false;
  const exhibits = Array.from(document.querySelectorAll(".exhibit"));
  const gallery = document.getElementById("gallery");
  const legend = document.getElementById("error-legend");
  const panels = [];
  const dialog = document.getElementById("large");
  const enlarged = document.getElementById("large-image");
  const caption = document.getElementById("large-caption");
  let current = 0;

  tools.addEventListener("change", (event) => {
    if (event.target.name === "view") {
      gallery.classList.toggle("predictions", event.target.value === "prediction");
      legend.hidden = event.target.value === "prediction";
    } else {
      for (const exhibit of exhibits) {
        exhibit.hidden = event.target.value !== "" && exhibit.dataset.group !== event.target.value;
      }
      const shown = exhibits.filter((exhibit) => !exhibit.hidden).length;
      document.getElementById("gallery-said").textContent = shown + " of " + exhibits.length + " images shown";
    }
  });
  /* A link to an image that is filtered out shows all of them, before it is followed. */
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a");
    const target = exhibits.find((exhibit) => link !== null && "#" + exhibit.id === link.getAttribute("href"));
    if (target !== undefined && target.hidden) tools.querySelector('input[name="group"][value=""]').click();
  });

  const open = (place) => {
    const shown = panels.filter((panel) => !panel.closest(".exhibit").hidden);
    current = (place + shown.length) % shown.length;
    const image = shown[current].querySelector("img");
    enlarged.src = image.src;
    enlarged.alt = image.alt;
    enlarged.className = image.className;
    caption.textContent = image.alt;
    if (!dialog.open) dialog.showModal();
  };
  const step = (by) => open(current + by);

  for (const image of document.querySelectorAll(".panels img")) {
    const button = document.createElement("button");
    button.type = "button";
    image.replaceWith(button);
    button.append(image);
    panels.push(button);
    // One stop of the tab key an image; the arrows go from picture to picture.
    const own = button.closest(".panels");
    button.tabIndex = own.querySelector("button") === button ? 0 : -1;
    button.addEventListener("keydown", (event) => {
      const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (by === undefined) return;
      const those = Array.from(own.querySelectorAll("button"));
      const next = those[those.indexOf(button) + by];
      if (next === undefined) return;
      event.preventDefault();
      button.tabIndex = -1;
      next.tabIndex = 0;
      next.focus();
    });
    button.addEventListener("click", () => {
      open(panels.filter((panel) => !panel.closest(".exhibit").hidden).indexOf(button));
    });
  }
  document.getElementById("large-previous").addEventListener("click", () => step(-1));
  document.getElementById("large-next").addEventListener("click", () => step(1));
  document.getElementById("large-close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
  dialog.addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft") step(-1);
    if (event.key === "ArrowRight") step(1);
  });
  dialog.addEventListener("close", () => {
    const shown = panels.filter((panel) => !panel.closest(".exhibit").hidden);
    if (shown[current]) shown[current].focus();
  });
}

/* One sound at a time. */
const players = Array.from(document.querySelectorAll("audio"));
for (const player of players) {
  player.addEventListener("play", () => {
    for (const other of players) if (other !== player) other.pause();
  });
}
