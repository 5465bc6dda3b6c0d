// SPDX-License-Identifier: Apache-2.0
// The page of curves: every curve can be shown and hidden, as values or as errors, and read at the
// pointer.
(() => {
"use strict";
const { $, make, short } = scruple;
const data = JSON.parse($("data").textContent);
const inks = ["blue", "orange", "aqua", "violet", "yellow", "magenta", "green"];
const state = { item: 0, error: false, band: true, hidden: new Set() };
let chart = null;

const numbers = (list) => list.map((v) => v === null ? NaN : v);
for (const item of data.items) {
  item.x = numbers(item.x);
  for (const curve of item.curves)
    for (const key of ["mean", "low", "high"]) curve[key] = numbers(curve[key]);
}

// Formats in order of their first curves, a colour each.
function inkOf(item, curve) {
  const names = [...new Set(item.curves.map((c) => c.format))];
  return inks[names.indexOf(curve.format) % inks.length];
}
const ideal = (curve) => curve.kind === "ideal" || curve.kind === "legacy_ideal";

function series(item) {
  const from = (i) => state.error ? item.x[i] : 0;
  const all = item.curves.map((curve) => ({
    name: curve.name, ink: inkOf(item, curve), dash: ideal(curve), hidden: state.hidden.has(curve.name),
    width: ideal(curve) ? 1.2 : 1.8,
    points: item.x.map((x, i) => [x, curve.mean[i] - from(i)]),
    band: state.band && !ideal(curve) ? item.x.map((x, i) => [x, curve.low[i] - from(i), curve.high[i] - from(i)]) : null,
  }));
  all.unshift({ name: state.error ? "" : "no error", ink: "text", width: 1.2,
    points: [[item.low, state.error ? 0 : item.low], [item.high, state.error ? 0 : item.high]] });
  return all;
}

function extent(item, all) {
  if (!state.error) return [item.low, item.high];
  let low = 0, high = 0;
  for (const s of all) {
    if (s.hidden) continue;
    for (const [, y] of s.points) if (Number.isFinite(y)) { low = Math.min(low, y); high = Math.max(high, y); }
    for (const [, a, b] of s.band || []) if (Number.isFinite(a + b)) { low = Math.min(low, a); high = Math.max(high, b); }
  }
  if (!(high > low)) return [-1e-6, 1e-6];
  const room = (high - low) * 0.05;
  return [low - room, high + room];
}

function show(again) {
  const item = data.items[state.item], all = series(item), [low, high] = extent(item, all);
  if (again || !chart)
    chart = new scruple.Chart($("curves"), { label: "What becomes of a value", height: 560,
      x: { low: item.low, high: item.high, title: item.name ? "original weight value" : "original value" },
      y: { low, high, title: state.error ? "error q(x) - x" : "reconstructed value" } });
  chart.setSeries(all);
}

function toggles() {
  const item = data.items[state.item];
  const boxes = item.curves.map((curve) => {
    const box = make("input", { type: "checkbox", checked: !state.hidden.has(curve.name), value: curve.name });
    box.addEventListener("change", () => {
      if (box.checked) state.hidden.delete(curve.name); else state.hidden.add(curve.name);
      show(state.error);
    });
    return make("label", null, box, scruple.swatch({ ink: inkOf(item, curve), dash: ideal(curve) }), curve.name);
  });
  const every = (text, hide) => {
    const button = make("button", { type: "button" }, text);
    button.addEventListener("click", () => {
      for (const curve of item.curves) if (hide) state.hidden.add(curve.name); else state.hidden.delete(curve.name);
      toggles();
      show(state.error);
    });
    return button;
  };
  $("toggles").replaceChildren(...boxes, every("All", false), every("None", true));
}

function table() {
  const item = data.items[state.item], heads = ["Curve", "Bits", "Mean |error|", "RMS error", "Largest", "Bias", "SQNR, dB"];
  const body = item.curves.map((c) => make("tr", null, make("th", { scope: "row" }, c.name),
    ...[c.bits, c.mae, c.rmse, c.atol, c.bias, c.sqnr_db].map((v) => make("td", { class: "number" }, short(v)))));
  $("table").replaceChildren(make("thead", null, make("tr", null, ...heads.map((text, i) =>
    make("th", { scope: "col", class: i ? "number" : null }, text)))), make("tbody", null, ...body));
}

function pick(index) {
  state.item = index;
  document.querySelectorAll(".item").forEach((node) => { node.hidden = Number(node.dataset.item) !== index; });
  state.hidden = new Set([...state.hidden].filter((name) => data.items[index].curves.some((c) => c.name === name)));
  toggles();
  table();
  show(true);
}

scruple.start();
data.items.forEach((item, i) => $("item").append(make("option", { value: i }, item.name)));
$("item-label").hidden = data.items.length < 2;
$("item").addEventListener("change", () => pick(Number($("item").value)));
$("error").addEventListener("change", () => { state.error = $("error").checked; show(true); });
$("band").addEventListener("change", () => { state.band = $("band").checked; show(false); });
$("home").addEventListener("click", () => { chart.home(); chart.draw(); });
// #item=1&error=1&hide=BF16: a state as a link.
const wanted = new URLSearchParams(location.hash.slice(1));
state.error = wanted.get("error") === "1";
$("error").checked = state.error;
for (const name of wanted.getAll("hide")) state.hidden.add(name);
if (data.items.length) {
  const first = Number(wanted.get("item")) || 0;
  $("item").value = String(first < data.items.length ? first : 0);
  pick(first < data.items.length ? first : 0);
}
})();
