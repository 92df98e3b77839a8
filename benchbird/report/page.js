"use strict";

/* Sorting: every heading of a sortable table becomes a button. Numbers are read as they are written. */
function numberIn(text) {
  const found = text.replace(/−/g, "-").replace(/,/g, "").match(/-?\d+(\.\d+)?(e[+-]?\d+)?/i);
  return found === null ? NaN : Number(found[0]);
}

/* Where the least is the best. */
const LOW_FIRST = /^(#|ranks|.* ms|parameters|Mparam|GFLOP)$/;

function sortBy(table, column, ascending) {
  const body = table.tBodies[0];
  const rows = Array.from(body.rows);
  const isNumber = table.tHead.rows[0].cells[column].classList.contains("n");
  const key = (row) => row.cells[column].textContent.trim();
  rows.sort((first, second) => {
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

/* Any two segmenters against each other: the points and the table of the scatter are set anew. */
const images = JSON.parse(document.getElementById("images").textContent);
const scatter = document.getElementById("figure-scatter");
if (scatter !== null && images.labels.length > 1) {
  const form = document.getElementById("pair");
  const [selectX, selectY] = [document.getElementById("pair-x"), document.getElementById("pair-y")];
  images.labels.forEach((label, place) => {
    for (const select of [selectX, selectY]) select.add(new Option(label, String(place)));
  });
  selectX.value = "0";
  selectY.value = "1";
  form.hidden = false;
  const marks = scatter.querySelectorAll(".m");
  const [nameX, nameY] = [scatter.querySelector(".x-label"), scatter.querySelector(".y-label")];
  const table = scatter.querySelector("table");
  const box = images.box;
  const show = () => {
    const [x, y] = [Number(selectX.value), Number(selectY.value)];
    let better = 0, equal = 0;
    images.ids.forEach((_, place) => {
      const [one, other] = [images.iou[x][place], images.iou[y][place]];
      better += one > other;
      equal += one === other;
      marks[place].setAttribute("cx", (box.left + (box.right - box.left) * one).toFixed(1));
      marks[place].setAttribute("cy", (box.bottom - (box.bottom - box.top) * other).toFixed(1));
    });
    nameX.textContent = "IoU by " + images.labels[x];
    nameY.textContent = "IoU by " + images.labels[y];
    for (const heading of table.tHead.rows[0].cells) heading.removeAttribute("aria-sort");
    [x, y].forEach((which, column) => {
      const heading = table.tHead.rows[0].cells[column + 1];
      (heading.querySelector("button") || heading).textContent = images.labels[which];
    });
    Array.from(table.tBodies[0].rows).forEach((row, place) => {
      row.cells[0].textContent = images.ids[place];
      row.cells[1].textContent = images.iou[x][place].toFixed(3);
      row.cells[2].textContent = images.iou[y][place].toFixed(3);
    });
    document.getElementById("pair-said").textContent =
      images.labels[x] + " is better on " + better + " of " + images.ids.length + " images" +
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
