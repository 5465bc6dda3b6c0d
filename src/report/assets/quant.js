// SPDX-License-Identifier: Apache-2.0
// The page of a mix: chooses a format for every cell from the table of errors in the page, and
// shows what comes of it. The same rules as the program's (analyze/mix.h).
(() => {
"use strict";
const { $, make, draw, short } = scruple;
const data = JSON.parse($("data").textContent);

// ------------------------------------------------------------------------------------- tables
// Sums of a cell in a format, as planes: d, yy - xx, dd, |d|, largest |d|; of x: x, xx, n.
function open(tensor) {
  if (tensor.table) return tensor;
  const n = tensor.down * tensor.across * tensor.matrices;
  const plane = (all, k) => all.subarray(k * n, (k + 1) * n);
  const values = scruple.floats(tensor.values);
  tensor.n = n;
  tensor.table = tensor.formats.map((format) => {
    const all = scruple.floats(format.errors);
    return { d: plane(all, 0), dyy: plane(all, 1), dd: plane(all, 2), abs: plane(all, 3), most: plane(all, 4) };
  });
  [tensor.x, tensor.xx, tensor.count] = [0, 1, 2].map((k) => plane(values, k));
  // From the fewest bytes up; of equals the first.
  tensor.order = tensor.formats.map((_, f) => f)
    .sort((a, b) => tensor.formats[a].full - tensor.formats[b].full || a - b);
  tensor.kept = new Map();
  return tensor;
}

// 1 - pcc from sums: what is left when the difference of the two norms is taken off dd.
function missing(n, x, xx, d, dyy, dd) {
  if (!(n > 0) || dd === 0) return 0;
  const y = x + d, yy = xx + dyy;
  const vx = xx - x * x / n, vy = yy - y * y / n, vd = dd - d * d / n;
  if (!(vx > 0) || !(vy > 0)) return 1;
  const sx = Math.sqrt(vx), sy = Math.sqrt(vy);
  const difference = (d * (2 * x + d) / n - dyy) / (sx + sy);
  return Math.max(0, (vd - difference * difference) / (2 * sx * sy));
}

// What a metric says of each cell and format, so that less is better: 1 - pcc, -dB.
function scores(tensor, metric) {
  const key = metric;
  if (tensor.kept.has(key)) return tensor.kept.get(key);
  const u = tensor.unit, { n, x, xx, count } = tensor;
  const all = tensor.table.map((t) => {
    const out = new Float64Array(n);
    for (let i = 0; i < n; i++) {
      const c = count[i];
      out[i] = metric === "pcc" ? missing(c, x[i], xx[i], t.d[i], t.dyy[i], t.dd[i])
        : metric === "mae" ? (c ? t.abs[i] / c * u : 0)
        : metric === "atol" ? t.most[i] * u
        : t.dd[i] > 0 ? -10 * Math.log10(xx[i] / t.dd[i]) : -Infinity;
    }
    return out;
  });
  tensor.kept.set(key, all);
  return all;
}

const asScore = (metric, threshold) => metric === "pcc" ? 1 - threshold : metric === "sqnr_db" ? -threshold : threshold;

// The smallest format that is good in each cell, else the largest.
function choose(tensor, metric, limit, enabled) {
  const all = scores(tensor, metric), order = tensor.order.filter((f) => enabled[f]);
  const out = new Int8Array(tensor.n), last = order.length - 1;
  if (last < 0) return out.fill(-1);
  for (let i = 0; i < tensor.n; i++) {
    let k = 0;
    while (k < last && !(all[order[k]][i] <= limit)) k++;
    out[i] = order[k];
  }
  return out;
}

function kindOf(tensor, i) {
  const across = i % tensor.across, down = Math.floor(i / tensor.across) % tensor.down;
  return (across + 1 === tensor.across ? 1 : 0) + (down + 1 === tensor.down ? 2 : 0);
}

function totals(tensor, format) {
  const u = tensor.unit, { x, xx, count } = tensor;
  const s = { n: 0, x: 0, xx: 0, d: 0, dyy: 0, dd: 0, abs: 0, most: 0, bytes: 0 };
  const counts = tensor.formats.map(() => 0);
  for (let i = 0; i < tensor.n; i++) {
    const f = format[i];
    s.n += count[i];
    s.x += x[i];
    s.xx += xx[i];
    if (f < 0) continue;
    const t = tensor.table[f];
    s.d += t.d[i];
    s.dyy += t.dyy[i];
    s.dd += t.dd[i];
    s.abs += t.abs[i];
    if (t.most[i] > s.most) s.most = t.most[i];
    s.bytes += tensor.formats[f].bytes[kindOf(tensor, i)];
    counts[f]++;
  }
  counts.forEach((c, f) => { if (c) s.bytes += tensor.formats[f].once; });
  return { bytes: s.bytes, counts, weights: s.n, missing: missing(s.n, s.x, s.xx, s.d, s.dyy, s.dd),
    mae: s.n ? s.abs / s.n * u : NaN, atol: s.most * u, mse: s.n ? s.dd / s.n * u * u : NaN,
    sqnr_db: s.dd > 0 ? 10 * Math.log10(s.xx / s.dd) : Infinity };
}

const scoreOf = (t, metric) => metric === "pcc" ? t.missing : metric === "sqnr_db" ? -t.sqnr_db : t[metric];

// With `hold` the cells' threshold is tightened until the tensor as a whole is good.
function decide(tensor, state) {
  const wanted = asScore(state.metric, state.threshold);
  const at = (limit) => {
    const format = choose(tensor, state.metric, limit, state.enabled);
    return { format, totals: totals(tensor, format) };
  };
  let now = at(wanted);
  if (!state.hold || scoreOf(now.totals, state.metric) <= wanted) return now;
  const strictest = at(-Infinity);
  if (!(scoreOf(strictest.totals, state.metric) <= wanted)) return strictest;
  now = strictest;
  const decibel = state.metric === "sqnr_db";
  let bad = decibel ? wanted : Math.log(wanted), good = decibel ? wanted - 120 : Math.log(wanted) - 40;
  for (let i = 0; i < 18; i++) {
    const middle = (bad + good) / 2, tried = at(decibel ? middle : Math.exp(middle));
    if (scoreOf(tried.totals, state.metric) <= wanted) { good = middle; now = tried; } else bad = middle;
  }
  return now;
}

// -------------------------------------------------------------------------------------- state
const ranges = { // of the slider: exponents of 10, or dB
  pcc: { low: -1, high: -7, of: (t) => 1 - 10 ** t, at: (v) => Math.log10(1 - v), digits: 8 },
  mae: { low: -6, high: -1, of: (t) => 10 ** t, at: Math.log10 },
  atol: { low: -5, high: -1, of: (t) => 10 ** t, at: Math.log10 },
  sqnr_db: { low: 0, high: 60, of: (t) => t, at: (v) => v },
};
const start = { pcc: 0.99, mae: 1e-3, atol: 1e-2, sqnr_db: 20 };
const titles = { pcc: "PCC", mae: "mean |error|", atol: "largest |error|", sqnr_db: "SQNR, dB" };
const state = { tensor: null, metric: "pcc", threshold: 0.99, hold: false, enabled: [], chosen: false };

const rounded = (v) => Number(v.toPrecision(4));
function fromSlider(position) {
  const r = ranges[state.metric], t = r.low + (r.high - r.low) * position / 1000;
  return state.metric === "pcc" ? 1 - rounded(10 ** t) : rounded(r.of(t));
}
function toSlider(v) {
  const r = ranges[state.metric];
  return Math.max(0, Math.min(1000, Math.round((r.at(v) - r.low) / (r.high - r.low) * 1000)));
}
function thresholdText(v) {
  return state.metric === "pcc" ? String(Number(v.toFixed(10))) : String(v);
}

// ----------------------------------------------------------------------------------- pictures
// Steps of the ramp by size: the largest format is the strongest.
function inkOf(tensor, f) {
  const by = [...tensor.order].reverse(), n = by.length;
  return n < 2 ? 6 : Math.floor((n - 1 - by.indexOf(f)) * 8 / (n - 1));
}

function bytesText(v) {
  const units = ["B", "KB", "MB", "GB", "TB"];
  let k = 0;
  while (v >= 1000 && k < 4) { v /= 1000; k++; }
  return Number(v.toFixed(k ? 2 : 0)) + " " + units[k];
}

function nines(v) {
  if (!(v > 0)) return "1";
  return (1 - v).toFixed(Math.min(12, Math.max(5, 3 - Math.floor(Math.log10(v)))));
}

function showFigures(tensor, now) {
  const t = now.totals, good = scoreOf(t, state.metric) <= asScore(state.metric, state.threshold) * (1 + 1e-12);
  const tile = (id, label, value, exact, detail, mood) => make("div", { class: "tile" }, make("dt", null, label),
    make("dd", null, make("b", { id, "data-v": String(exact) }, value),
      make("span", { class: mood || null }, detail || "")));
  const met = (metric) => metric === state.metric ? [good ? "holds" : "misses the threshold", good ? "met" : "missed"] : ["", null];
  $("figures").replaceChildren(
    tile("f-bytes", "Size", bytesText(t.bytes), t.bytes, t.weights ? `${(8 * t.bytes / (tensor.rows * tensor.cols * tensor.matrices)).toFixed(3)} bits a weight` : ""),
    tile("f-pcc", "PCC", nines(t.missing), t.missing, ...met("pcc")),
    tile("f-mae", "Mean |error|", short(t.mae), t.mae, ...met("mae")),
    tile("f-atol", "Largest |error|", short(t.atol), t.atol, ...met("atol")),
    tile("f-sqnr_db", "SQNR", Number.isFinite(t.sqnr_db) ? t.sqnr_db.toFixed(2) + " dB" : "∞", t.sqnr_db, ...met("sqnr_db")));
}

function showCounts(tensor, now) {
  const head = make("thead", null, make("tr", null, ...["Format", "Cells", "Share", "Bits", ""].map((text, i) =>
    make("th", { scope: "col", class: i ? "number" : null }, text))));
  const body = make("tbody");
  for (const f of [...tensor.order].reverse()) {
    const count = now.totals.counts[f], share = count / tensor.n;
    const bar = draw("svg", { viewBox: "0 0 100 12", preserveAspectRatio: "none", "aria-hidden": "true" },
      draw("rect", { class: "f-grid", width: 100, height: 12 }), draw("rect", { class: `f-ramp${inkOf(tensor, f)}`, width: 100 * share, height: 12 }));
    body.append(make("tr", null, make("th", { scope: "row" }, tensor.formats[f].name),
      make("td", { class: "number count", "data-format": tensor.formats[f].name, "data-v": String(count) }, count.toLocaleString("en-US")),
      make("td", { class: "number" }, (100 * share).toFixed(1) + " %"),
      make("td", { class: "number" }, short(tensor.formats[f].bits)), make("td", { class: "bar" }, bar)));
  }
  $("counts").replaceChildren(head, body);
}

let shown = null; // what the map shows
function showMap(tensor, now) {
  const canvas = $("canvas"), rows = tensor.down * tensor.matrices, cols = tensor.across;
  const room = Math.max(240, $("map").clientWidth), ratio = window.devicePixelRatio || 1;
  const side = Math.max(1 / ratio, Math.min(28, room / cols, Math.max(620 / rows, 1)));
  const w = cols < 8 ? Math.max(side, 28 / cols) : side, h = rows < 8 ? Math.max(side, 28 / rows) : side;
  canvas.width = Math.max(1, Math.round(cols * w * ratio));
  canvas.height = Math.max(1, Math.round(rows * h * ratio));
  canvas.style.width = cols * w + "px";
  canvas.style.height = rows * h + "px";
  const style = getComputedStyle(document.documentElement), pen = canvas.getContext("2d");
  pen.fillStyle = style.getPropertyValue("--other");
  pen.fillRect(0, 0, canvas.width, canvas.height);
  const gap = w >= 6 && h >= 6 ? 1 : 0, sx = canvas.width / cols, sy = canvas.height / rows;
  if (gap) {
    pen.fillStyle = style.getPropertyValue("--surface");
    pen.fillRect(0, 0, canvas.width, canvas.height);
  }
  tensor.formats.forEach((_, f) => {
    pen.fillStyle = style.getPropertyValue(`--ramp${inkOf(tensor, f)}`);
    for (let i = 0; i < tensor.n; i++) {
      if (now.format[i] !== f) continue;
      const x = Math.floor(i % cols * sx), y = Math.floor(Math.floor(i / cols) * sy);
      const right = Math.floor((i % cols + 1) * sx), bottom = Math.floor((Math.floor(i / cols) + 1) * sy);
      pen.fillRect(x, y, Math.max(1, right - x - gap), Math.max(1, bottom - y - gap));
    }
  });
  shown = { tensor, now, w, h, cols, rows };
  const notes = [];
  if (tensor.by > 1) notes.push(`A cell of this page stands for ${tensor.by} × ${tensor.by} of the ${tensor.cells.toLocaleString("en-US")} cells of the tensor, which get one format together: a finer choice is smaller.`);
  if (tensor.matrices > 1) notes.push(`The ${tensor.matrices} matrices stand one below the other.`);
  $("map-note").textContent = notes.join(" ");
}

function tellCell(event) {
  if (!shown) return;
  const { tensor, now, w, h, cols, rows } = shown, r = $("canvas").getBoundingClientRect();
  const col = Math.floor((event.clientX - r.left) / w), row = Math.floor((event.clientY - r.top) / h);
  if (col < 0 || row < 0 || col >= cols || row >= rows) return;
  const i = row * cols + col, f = now.format[i], all = scores(tensor, state.metric);
  const value = (k) => state.metric === "pcc" ? nines(all[k][i]) : short(state.metric === "sqnr_db" ? -all[k][i] : all[k][i]);
  $("cell").textContent = `${tensor.grain} ${row}, ${col}: ${f < 0 ? "none" : tensor.formats[f].name} · ${titles[state.metric]} ` +
    tensor.order.map((k) => `${tensor.formats[k].name} ${value(k)}`).join(", ");
}

// What every threshold gives, along the slider: worked out bit by bit, so that the page stays alive.
function sweep(tensor, done) {
  const key = `${state.metric} ${state.enabled.join()}`;
  if (tensor.kept.has(key)) { done(tensor.kept.get(key)); return; }
  const r = ranges[state.metric], steps = tensor.n * tensor.formats.length > 150000 ? 24 : 60, out = [];
  const metric = state.metric, enabled = [...state.enabled];
  const next = (i) => {
    if (i > steps) {
      tensor.kept.set(key, out);
      if (metric === state.metric && tensor === state.tensor) done(out);
      return;
    }
    const limit = asScore(metric, r.of(r.low + (r.high - r.low) * i / steps));
    out.push(totals(tensor, choose(tensor, metric, limit, enabled)));
    if (i % 6) next(i + 1); else setTimeout(() => next(i + 1));
  };
  next(0);
}

let chart = null, chartKey = "";
function showSizes(tensor, now) {
  const metric = state.metric, y = (t) => metric === "pcc" ? t.missing : t[metric];
  const given = metric === data.metric;
  const draw = (swept) => {
    const frontier = given ? tensor.frontier.map((t) => [t.bytes, y(t)]) : [];
    const points = given ? tensor.points.map((p) => ({ x: p.bytes, y: metric === "pcc" ? 1 - p.value : p.value, name: p.name, diamond: p.mix,
      tip: `${p.name}: ${titles[metric]} ${metric === "pcc" ? nines(1 - p.value) : short(p.value)}, ${bytesText(p.bytes)}` })) : [];
    const line = swept.map((t) => [t.bytes, y(t)]).sort((a, b) => a[0] - b[0]);
    const all = [...frontier, ...line, ...points.map((p) => [p.x, p.y]), [now.totals.bytes, y(now.totals)]]
      .filter(([, v]) => Number.isFinite(v) && (metric === "sqnr_db" || v > 0));
    const ys = all.map(([, v]) => v), log = metric !== "sqnr_db";
    let low = Math.min(...ys), high = Math.max(...ys);
    if (!ys.length) { low = 1e-6; high = 1; }
    if (log) { low = 10 ** Math.floor(Math.log10(low) + 1e-9); high = 10 ** Math.ceil(Math.log10(high) - 1e-9); }
    if (!(high > low)) { high = log ? low * 10 : low + 1; }
    const most = Math.max(...all.map(([v]) => v)) * 1.04;
    const options = { label: "Size against accuracy", height: 460, x: { low: 0, high: most, title: "size", text: bytesText },
      y: { log, nines: metric === "pcc", low, high, title: titles[metric] + (metric === "mae" || metric === "atol" ? ", less is better" : "") } };
    const key = JSON.stringify([metric, tensor.name, low, high, most, swept.length]);
    if (key !== chartKey) { chart = new scruple.Chart($("sizes"), options); chartKey = key; }
    chart.setSeries([
      { name: "best that a mix can do", ink: "aqua", points: frontier, width: 2.6, hidden: !frontier.length },
      { name: "thresholds of the slider", ink: "muted", points: line, width: 1.2, hidden: !line.length },
      { name: "one format", ink: "blue", marks: points.filter((p) => !p.diamond), hidden: !points.length },
      { name: "mixes of the run", ink: "orange", marks: points.filter((p) => p.diamond), hidden: !points.some((p) => p.diamond) },
      { name: "this page", ink: "magenta", marks: [{ x: now.totals.bytes, y: y(now.totals), r: 8, tip: "what the map shows" }] }]);
  };
  draw(tensor.kept.get(`${metric} ${state.enabled.join()}`) || []);
  sweep(tensor, draw);
}

// ------------------------------------------------------------------------------------ running
function update(shownOnly) {
  const tensor = open(state.tensor);
  let now;
  if (state.chosen && tensor.chosen) {
    const raw = atob(tensor.chosen), format = new Int8Array(raw.length);
    for (let i = 0; i < raw.length; i++) format[i] = raw.charCodeAt(i) << 24 >> 24;
    now = { format, totals: totals(tensor, format) };
  } else {
    now = decide(tensor, state);
  }
  $("map-title").textContent = state.chosen ? `Which cell has which format: ${data.algorithm || "the run's choice"}` : "Which cell has which format";
  showFigures(tensor, now);
  showCounts(tensor, now);
  showMap(tensor, now);
  if (!shownOnly) showSizes(tensor, now);
}

let waiting = 0;
function soon() { // one picture a frame, however fast the slider moves
  if (waiting) return;
  waiting = requestAnimationFrame(() => { waiting = 0; update(); });
}

function set(threshold, fromText) {
  if (!Number.isFinite(threshold)) return;
  state.threshold = threshold;
  state.chosen = false;
  $("slider").value = toSlider(threshold);
  $("slider").setAttribute("aria-valuetext", thresholdText(threshold));
  if (!fromText) $("threshold").value = thresholdText(threshold);
}

function pick(tensor) {
  state.tensor = open(tensor);
  state.enabled = tensor.formats.map(() => true);
  state.chosen = false;
  $("chosen").hidden = !tensor.chosen;
  const boxes = tensor.formats.map((format, f) => {
    const box = make("input", { type: "checkbox", checked: true, value: format.name });
    box.addEventListener("change", () => {
      state.enabled[f] = box.checked;
      if (!state.enabled.some(Boolean)) { state.enabled[f] = true; box.checked = true; }
      state.chosen = false;
      soon();
    });
    return make("label", null, box, " " + format.name);
  });
  $("formats").replaceChildren($("formats").querySelector("legend"), ...boxes);
}

function listen() {
  $("slider").addEventListener("input", () => { set(fromSlider(Number($("slider").value))); soon(); });
  $("threshold").addEventListener("input", () => {
    const text = $("threshold").value.trim();
    if (text !== "") { set(Number(text.replace(",", ".")), true); soon(); }
  });
  for (const radio of document.getElementsByName("metric"))
    radio.addEventListener("change", () => { state.metric = radio.value; set(radio.value === data.metric ? data.threshold : start[radio.value]); soon(); });
  $("hold").addEventListener("change", () => { state.hold = $("hold").checked; state.chosen = false; soon(); });
  $("tensor").addEventListener("change", () => { pick(data.tensors[Number($("tensor").value)]); soon(); });
  $("chosen").addEventListener("click", () => { state.chosen = true; soon(); });
  $("canvas").addEventListener("pointermove", tellCell);
  new MutationObserver(() => update(true)).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => update(true));
  let resized = 0;
  window.addEventListener("resize", () => { clearTimeout(resized); resized = setTimeout(() => update(true), 150); });
}

// #tensor=1&metric=mae&threshold=0.001&formats=bfp8,bfp4&hold=1: a state as a link.
function fromLink() {
  const wanted = new URLSearchParams(location.hash.slice(1));
  const index = Number(wanted.get("tensor") || 0);
  pick(data.tensors[index] || data.tensors[0]);
  $("tensor").value = String(data.tensors.indexOf(state.tensor));
  const metric = wanted.get("metric") || data.metric;
  if (ranges[metric]) state.metric = metric;
  for (const radio of document.getElementsByName("metric")) radio.checked = radio.value === state.metric;
  const threshold = Number(wanted.get("threshold"));
  const usual = state.metric === data.metric && data.threshold !== null ? data.threshold : start[state.metric];
  set(wanted.get("threshold") && Number.isFinite(threshold) ? threshold : usual);
  if (wanted.get("formats")) {
    const names = wanted.get("formats").split(",");
    state.enabled = state.tensor.formats.map((format) => names.includes(format.name));
    [...$("formats").querySelectorAll("input")].forEach((box, f) => { box.checked = state.enabled[f]; });
  }
  state.hold = wanted.get("hold") === "1";
  $("hold").checked = state.hold;
  state.chosen = wanted.get("chosen") === "1" && Boolean(state.tensor.chosen);
}

scruple.start();
data.tensors.forEach((tensor, i) => $("tensor").append(make("option", { value: i }, tensor.name)));
$("tensor-label").hidden = data.tensors.length < 2;
if (data.tensors.length) {
  fromLink();
  listen();
  update();
}
})();
