// SPDX-License-Identifier: Apache-2.0
// What the page of a scan does beyond showing itself: themes, sorting, filters, heat maps of any
// metric, and one tensor in detail. Data comes from the element #data; text from it only ever
// becomes text nodes and attributes, never markup.
(() => {
"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const byPosition = new Map(data.tensors.map((tensor) => [tensor.i, tensor]));
const { $, make, draw, toNumber, short, full, axis } = scruple;

// ----------------------------------------------------------------------------------- findings
// Numbers by size with infinities at their ends and what is missing last; text as people count.
const collator = new Intl.Collator("en", { numeric: true });
function compare(a, b, direction) {
  const emptyA = a === null || Number.isNaN(a), emptyB = b === null || Number.isNaN(b);
  if (emptyA || emptyB) return emptyA - emptyB;
  if (typeof a === "number" && typeof b === "number") return a === b ? 0 : direction * (a < b ? -1 : 1);
  return direction * collator.compare(a, b);
}

function markSorted(head, column, direction) {
  [...head.querySelectorAll("th")].forEach((cell, i) => {
    if (i === column) cell.setAttribute("aria-sort", direction > 0 ? "ascending" : "descending");
    else cell.removeAttribute("aria-sort");
  });
}

function startFindings() {
  const table = $("issues");
  if (!table) return;
  const body = table.tBodies[0], rows = [...body.rows];
  const texts = rows.map((row) => row.textContent.toLowerCase());
  const boxes = [...document.querySelectorAll(".issue-severity")];
  function filter() {
    const word = $("issue-filter").value.trim().toLowerCase();
    const wanted = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
    let shown = 0;
    rows.forEach((row, i) => {
      row.hidden = !(wanted.has(row.dataset.severity) && texts[i].includes(word));
      shown += !row.hidden;
    });
    $("issue-count").textContent = `${shown} of ${rows.length}`;
  }
  function key(row, column) {
    const cell = row.cells[column];
    return "v" in cell.dataset ? toNumber(Number(cell.dataset.v.replace("Infinity", "1e999"))) : cell.textContent;
  }
  table.tHead.addEventListener("click", (event) => {
    const cell = event.target.closest("th");
    if (!cell || !event.target.closest("button")) return;
    const column = cell.cellIndex;
    const first = column === 0 || column === 3 ? -1 : 1;
    const direction = cell.hasAttribute("aria-sort") ? (cell.getAttribute("aria-sort") === "ascending" ? -1 : 1) : first;
    const order = rows.map((row, i) => [key(row, column), i]);
    order.sort((a, b) => compare(a[0], b[0], direction) || a[1] - b[1]);
    body.append(...order.map(([, i]) => rows[i]));
    markSorted(table.tHead, column, direction);
  });
  $("issue-filter").addEventListener("input", filter);
  boxes.forEach((box) => box.addEventListener("change", filter));
  filter();
}

// ------------------------------------------------------------------------------------ figures
const PAGE = 100;
function startFigures() {
  const table = $("figure-table"), groups = data.groups;
  let group = 0, column = -1, direction = 1, limit = PAGE;
  if (!groups.length) return;
  const value = (tensor) => {
    const list = tensor.m[group];
    const v = list ? list[column] : null;
    return typeof v === "string" && !/Infinity$/.test(v) ? v : toNumber(v);
  };
  function chosen() {
    const word = $("figure-filter").value.trim().toLowerCase();
    const found = data.tensors.filter((t) => t.m[group] &&
      (t.name.toLowerCase().includes(word) || t.role.includes(word)));
    const key = column < 0 ? (t) => t.name : value;
    return found.map((t) => [key(t), t]).sort((a, b) => compare(a[0], b[0], direction) || a[1].i - b[1].i);
  }
  function fill() {
    const head = make("tr", null, make("th", { scope: "col" }, make("button", { type: "button" }, "Tensor")));
    for (const [, title, unit] of groups[group].columns)
      head.append(make("th", { scope: "col", class: "number" },
        make("button", { type: "button" }, unit ? `${title}, ${unit}` : title)));
    const found = chosen(), body = make("tbody");
    for (const [, tensor] of found.slice(0, limit)) {
      const row = make("tr", null, make("th", { scope: "row" },
        make("button", { type: "button", class: "tensor", "data-t": tensor.i, title: tensor.name }, tensor.name || '""')));
      for (const figure of tensor.m[group]) row.append(make("td", { class: "number" }, full(figure)));
      body.append(row);
    }
    table.replaceChildren(make("thead", null, head), body);
    markSorted(table.tHead, column + 1, direction);
    $("figure-count").textContent = `${Math.min(limit, found.length)} of ${found.length} tensors`;
    $("figure-more").hidden = found.length <= limit;
  }
  groups.forEach((entry, i) => {
    const button = make("button", { type: "button", "aria-pressed": String(i === 0) }, entry.title);
    button.addEventListener("click", () => {
      group = i; column = -1; direction = 1; limit = PAGE;
      [...$("figure-groups").children].forEach((b, k) => b.setAttribute("aria-pressed", String(k === i)));
      fill();
    });
    $("figure-groups").append(button);
  });
  table.addEventListener("click", (event) => {
    const cell = event.target.closest("thead th");
    if (!cell || !event.target.closest("button")) return;
    const next = cell.cellIndex - 1;
    direction = next === column ? -direction : next < 0 ? 1 : -1;
    column = next;
    fill();
    table.tHead.rows[0].cells[next + 1].querySelector("button").focus();
  });
  $("figure-filter").addEventListener("input", () => { limit = PAGE; fill(); });
  $("figure-more").addEventListener("click", () => { limit += 5 * PAGE; fill(); });
  fill();
}

// --------------------------------------------------------------------------------------- maps
const STEPS = 9;
function quantile(sorted, q) {
  return sorted[Math.round(q * (sorted.length - 1))];
}
function colouring(grid) {
  const values = grid.cells.map((cell) => toNumber(cell[4]))
    .filter((v) => Number.isFinite(v) && (!grid.log || v > 0)).sort((a, b) => a - b);
  if (!values.length) return { low: NaN, high: NaN, step: () => 0 };
  const low = quantile(values, 0.02), high = quantile(values, 0.98);
  const at = grid.log ? Math.log : (v) => v;
  const step = (v) => {
    if (grid.log && v <= 0) return 0;
    const t = high > low ? (at(v) - at(low)) / (at(high) - at(low)) : 0.5;
    return Math.max(0, Math.min(STEPS - 1, Math.floor(t * STEPS)));
  };
  return { low, high, step, clipped: values[0] < low || values[values.length - 1] > high };
}

function mapLegend(grid, colours, singular) {
  const legend = make("div", { class: "legend" });
  const ramp = draw("svg", { width: STEPS * 20, height: 14, "aria-hidden": "true" });
  for (let i = 0; i < STEPS; i++)
    ramp.append(draw("rect", { class: `f-ramp${i}`, x: i * 20, y: 0, width: 19, height: 14 }));
  legend.append((colours.clipped ? "≤ " : "") + short(colours.low), ramp,
    (colours.clipped ? "≥ " : "") + short(colours.high) + (grid.unit ? " " + grid.unit : ""));
  if (singular)
    legend.append(draw("svg", { width: 14, height: 14, "aria-hidden": "true" },
      draw("rect", { class: "f-critical", width: 14, height: 14 })), "∞");
  return legend;
}

function cellTip(grid, cell) {
  const [row, column, n, , median, low, high] = cell;
  const layer = grid.columns[column][0] < 0 ? "outside of layers" : `layer ${grid.columns[column][0]}`;
  return `${grid.experts ? "expert " : ""}${grid.rows[row]}, ${layer}: ${short(median)}` +
    (n > 1 ? ` (median of ${n}, ${short(low)} to ${short(high)})` : "");
}

function drawMap(grid) {
  const room = Math.max(300, $("map").clientWidth || 1040);
  const left = grid.experts ? 44 : Math.min(150, room * 0.32), colours = colouring(grid);
  const w = Math.min(64, (room - left - 4) / grid.columns.length);
  const h = grid.experts ? Math.max(4, Math.min(20, 440 / grid.rows.length)) : 24;
  const width = room, height = h * grid.rows.length + 44, gap = w > 6 ? 1.5 : 0;
  const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, width, height, class: "plot", role: "img" });
  svg.setAttribute("aria-label", `${grid.title} by layer and ${grid.experts ? "expert" : "role"}`);
  let singular = false, lastRow = -99, lastColumn = -99;
  grid.rows.forEach((name, i) => {
    const y = (i + 0.5) * h;
    svg.append(draw("line", { class: "k-grid", x1: left, x2: left + w * grid.columns.length, y1: y, y2: y }));
    if (y - lastRow < 12) return;
    lastRow = y;
    const fits = Math.floor(left / 6.5);
    svg.append(draw("text", { class: "t1", x: left - 8, y: y + 4, "text-anchor": "end" },
      name.length > fits ? name.slice(0, fits - 1) + "…" : name));
  });
  for (const cell of grid.cells) {
    const v = toNumber(cell[4]), step = colours.step(v);
    singular = singular || v === Infinity;
    const item = draw("g", { "data-t": cell[3] }, draw("title", null, cellTip(grid, cell)),
      draw("rect", { class: v === Infinity ? "f-critical" : `f-ramp${step}`, x: left + cell[1] * w,
        y: cell[0] * h, width: w - gap, height: h - Math.min(gap, h / 4) }));
    const text = short(cell[4]);
    if (h >= 14 && text.length * 6.2 + 4 < w)
      item.append(draw("text", { class: step >= 6 || v === Infinity ? "t7" : "t6", "text-anchor": "middle",
        x: left + cell[1] * w + (w - gap) / 2, y: cell[0] * h + h / 2 + 3 }, text));
    svg.append(item);
  }
  grid.columns.forEach(([number, tower], i) => {
    const x = left + (i + 0.5) * w, text = number < 0 ? "–" : String(number);
    const bottom = h * grid.rows.length;
    const several = grid.columns[0][1] !== grid.columns[grid.columns.length - 1][1];
    if (several && (i === 0 || grid.columns[i - 1][1] !== tower))
      svg.append(draw("text", { class: "t1", x: left + i * w, y: bottom + 32 }, tower));
    if (x - lastColumn < text.length * 7 + 6) return;
    lastColumn = x;
    svg.append(draw("text", { class: "t0", x, y: bottom + 15, "text-anchor": "middle" }, text));
  });
  svg.append(draw("text", { class: "t2", x: left + w * grid.columns.length / 2, y: height - 8, "text-anchor": "middle" }, "layer"));
  const notes = [];
  if (grid.per[1] > 1) notes.push(`Each column is the median of ${grid.per[1]} layers.`);
  if (grid.per[0] > 1) notes.push(`Each row is the median of ${grid.per[0]} experts.`);
  const caption = `One cell for the tensors of ${grid.experts ? "an expert" : "a role"} in a layer: their median. ` +
    "A click opens the most remarkable of them. " + notes.join(" ");
  $("map").replaceChildren(mapLegend(grid, colours, singular), svg, make("figcaption", null, caption));
}

function startMaps() {
  const metric = $("map-metric"), kind = $("map-kind");
  if (!data.grids.length) { metric.closest(".controls").remove(); return; }
  const titles = new Map(data.grids.map((grid) => [grid.id, grid.title]));
  for (const [id, title] of titles) metric.append(make("option", { value: id }, title));
  if (!data.grids.some((grid) => grid.experts)) $("map-kind-label").hidden = true;
  const show = () => {
    const experts = kind.value === "experts";
    const grid = data.grids.find((g) => g.id === metric.value && g.experts === experts) ||
      data.grids.find((g) => g.id === metric.value);
    if (grid) drawMap(grid);
  };
  metric.addEventListener("change", show);
  kind.addEventListener("change", show);
  let waiting = 0;
  window.addEventListener("resize", () => {
    clearTimeout(waiting);
    waiting = setTimeout(show, 150);
  });
  show();
}

// --------------------------------------------------------------------------- one tensor: charts
const W = 320, H = 220, LEFT = 50, RIGHT = 10, TOP = 8, BOTTOM = 40;

function chart(title, x, y, xTitle) {
  const svg = draw("svg", { viewBox: `0 0 ${W} ${H}`, class: "plot", role: "img" });
  svg.setAttribute("aria-label", title);
  for (const v of y.ticks) {
    svg.append(draw("line", { class: "k-grid", x1: LEFT, x2: W - RIGHT, y1: y.scale(v), y2: y.scale(v) }));
    svg.append(draw("text", { class: "t0", x: LEFT - 5, y: y.scale(v) + 4, "text-anchor": "end" }, short(v)));
  }
  for (const v of x.ticks)
    svg.append(draw("text", { class: "t0", x: x.scale(v), y: H - BOTTOM + 16, "text-anchor": "middle" }, short(v)));
  svg.append(draw("line", { class: "k-axis", x1: LEFT, x2: W - RIGHT, y1: H - BOTTOM, y2: H - BOTTOM }));
  svg.append(draw("text", { class: "t2", x: (LEFT + W - RIGHT) / 2, y: H - 6, "text-anchor": "middle" }, xTitle));
  return { svg, x, y, node: make("div", null, make("h3", null, title), svg) };
}

function line(plot, points, ink, dashed) {
  let d = "", pen = false;
  for (const [vx, vy] of points) {
    const x = plot.x.scale(vx), y = plot.y.scale(vy);
    const good = Number.isFinite(x) && Number.isFinite(y) && vy >= plot.y.low;
    if (good) d += `${pen ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`;
    pen = good;
  }
  if (d) plot.svg.append(draw("path", { class: `k-${ink}`, fill: "none", "stroke-width": 2, d,
    "stroke-dasharray": dashed ? "5 4" : "none" }));
}

function bars(plot, edges, counts) {
  const bottom = H - BOTTOM;
  counts.forEach((count, i) => {
    if (!count) return;
    const x = plot.x.scale(edges(i)), right = plot.x.scale(edges(i + 1)), top = plot.y.scale(count);
    plot.svg.append(draw("rect", { class: "f-blue", x: x + 0.3, y: top, width: Math.max(right - x - 0.6, 0.4),
      height: Math.max(bottom - top, 0.5) }));
  });
}

const xAxis = (log, low, high) => axis(log, low, high, LEFT, W - RIGHT);
const yAxis = (log, low, high) => axis(log, low, high, H - BOTTOM, TOP);

function histogram(h, log) {
  const most = Math.max(...h.c, 1), n = h.c.length, edge = toNumber(h.edge);
  if (!Number.isFinite(edge)) return "";
  const plot = chart(log ? "Values, logarithmic counts" : "Values", xAxis(false, -edge, edge),
    yAxis(log, log ? 0.7 : 0, most * 1.02), "value");
  bars(plot, (i) => -edge + 2 * edge * i / n, h.c);
  if (h.std > 0) {
    const normal = (x) => h.n * (2 * edge / n) / (h.std * Math.sqrt(2 * Math.PI)) *
      Math.exp(-(((x - h.mean) / h.std) ** 2) / 2);
    line(plot, Array.from({ length: 161 }, (_, i) => -edge + 2 * edge * i / 160)
      .map((x) => [x, normal(x)]), "orange");
  }
  return plot.node;
}

function singularValues(e) {
  const points = e.p.map(toNumber).map((v, i) => [e.p.length < 2 ? 1 : 1 + i * (e.rank - 1) / (e.p.length - 1), v]);
  const positive = points.map(([, v]) => v).filter((v) => v > 0 && Number.isFinite(v));
  if (!positive.length) return "";
  const low = Math.min(...positive), high = Math.max(...positive);
  const plot = chart("Singular values", xAxis(false, 0, e.rank),
    yAxis(true, low === high ? low / 2 : low, high * 1.05), "rank");
  line(plot, points, "blue");
  if (e.edge > 0) line(plot, [[0, e.edge], [e.rank, e.edge]], "text2", true);
  return plot.node;
}

function density(e) {
  const total = e.c.reduce((a, b) => a + b, 0), low = toNumber(e.low), high = toNumber(e.high);
  if (!total || !(high > low) || Math.abs(low) > 290 || Math.abs(high) > 290) return "";
  const bin = (high - low) / e.c.length, counts = e.c.map((c) => c / total);
  const plot = chart("Spectral density of WᵀW", xAxis(true, 10 ** low, 10 ** high),
    yAxis(true, 0.5 / total, Math.max(...counts) * 1.1), "eigenvalue λ");
  bars(plot, (i) => 10 ** (low + i * bin), counts);
  const grid = Array.from({ length: 241 }, (_, i) => 10 ** (low + (high - low) * i / 240));
  const v = e.noise ** 2, a = v * (Math.sqrt(e.n) - Math.sqrt(e.m)) ** 2, b = v * (Math.sqrt(e.n) + Math.sqrt(e.m)) ** 2;
  line(plot, grid.map((x) => [x, x > a && x < b
    ? Math.sqrt((b - x) * (x - a)) / (2 * Math.PI * v * e.m) * Math.LN10 * bin : NaN]), "violet");
  if (e.alpha > 1 && e.xmin > 0)
    line(plot, grid.map((x) => [x, x >= e.xmin && x <= e.xmax
      ? (e.alpha - 1) * (x / e.xmin) ** (1 - e.alpha) * Math.LN10 * bin * e.tail / total : NaN]), "orange");
  return plot.node;
}

// ------------------------------------------------------------------------- one tensor: dialog
let opened = -1;
function figureLists(tensor) {
  const lists = make("div", { class: "lists" });
  data.groups.forEach((group, g) => {
    if (!tensor.m[g]) return;
    const list = make("dl");
    group.columns.forEach(([key, title, unit], i) => {
      const value = tensor.m[g][i];
      list.append(make("div", { title: key }, make("dt", null, title),
        make("dd", null, full(value) + (unit && value !== null ? " " + unit : ""))));
    });
    lists.append(make("div", null, make("h3", null, group.title), list));
  });
  return lists;
}

function step(by) {
  const next = data.tensors[(opened + by + data.tensors.length) % data.tensors.length];
  openTensor(next.i);
}

function openTensor(position) {
  const tensor = byPosition.get(position), dialog = $("tensor");
  if (!tensor) return;
  opened = data.tensors.indexOf(tensor);
  const button = (text, label, action) => {
    const node = make("button", { type: "button", "aria-label": label }, text);
    node.addEventListener("click", action);
    return node;
  };
  const panels = make("div", { class: "panels" });
  if (tensor.h) panels.append(histogram(tensor.h, false), histogram(tensor.h, true));
  if (tensor.e) panels.append(singularValues(tensor.e), density(tensor.e));
  const facts = [tensor.shape.join(" × ") || "scalar", tensor.dtype, tensor.role,
    tensor.parameters.toLocaleString("en-US") + " values"];
  if (tensor.e && tensor.e.slices > 1)
    facts.push(`matrix ${tensor.e.slice} (from 0) of ${tensor.e.slices}, the one with the largest condition number`);
  const note = make("p", null, "Orange: a normal distribution of the same mean and deviation; in the density, the " +
    "power law of the tail. Violet: Marchenko-Pastur. Dashed: the edge of random entries.");
  dialog.replaceChildren(make("div", null,
    make("header", null, make("h2", { id: "tensor-name" }, tensor.name || '""'),
      make("div", { class: "steps" }, button("←", "Previous tensor", () => step(-1)),
        button("→", "Next tensor", () => step(1)), button("Close", "Close", () => dialog.close()))),
    make("p", null, facts.join(" · ")), panels, panels.childNodes.length ? note : "", figureLists(tensor)));
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
}

function startTensors() {
  const dialog = $("tensor");
  document.addEventListener("click", (event) => {
    const item = event.target.closest("[data-t]");
    if (item) openTensor(Number(item.dataset.t));
    else if (event.target === dialog) dialog.close();
  });
  dialog.addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
      step(event.key === "ArrowLeft" ? -1 : 1);
      dialog.querySelector(event.key === "ArrowLeft" ? ".steps button" : ".steps button + button").focus();
    }
  });
  const wanted = /^#tensor=(.+)$/.exec(location.hash); // a link to a tensor by its name
  if (wanted) {
    const name = decodeURIComponent(wanted[1]);
    const tensor = data.tensors.find((t) => t.name === name);
    if (tensor) openTensor(tensor.i);
  }
}

scruple.start();
$("figure-more").hidden = true;
startFindings();
startFigures();
startMaps();
startTensors();
})();
