// SPDX-License-Identifier: Apache-2.0
// What the scripts of all pages share: elements, numbers as people read them, themes, axes. Text
// from data only ever becomes text nodes and attributes, never markup.
"use strict";
const scruple = (() => {
const $ = (id) => document.getElementById(id);

function make(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {}))
    if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

function draw(tag, attributes, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (typeof value === "number" && !Number.isFinite(value)) return document.createComment("");
    node.setAttribute(name, typeof value === "number" ? Math.round(value * 100) / 100 : value);
  }
  node.append(...children);
  return node;
}

// ------------------------------------------------------------------------------------ numbers
// null: none. Infinities come as words.
function toNumber(value) {
  if (value === null || value === undefined) return NaN;
  if (value === "Infinity") return Infinity;
  if (value === "-Infinity") return -Infinity;
  return typeof value === "number" ? value : NaN;
}

const raised = "⁰¹²³⁴⁵⁶⁷⁸⁹";
function power(exponent) {
  const digits = String(Math.abs(exponent)).replace(/\d/g, (digit) => raised[digit]);
  return "10" + (exponent < 0 ? "⁻" : "") + digits;
}

// Short, for axes and cells.
function short(value) {
  const v = toNumber(value), size = Math.abs(v);
  if (Number.isNaN(v)) return "–";
  if (!Number.isFinite(v)) return v < 0 ? "-∞" : "∞";
  if (v === 0) return "0";
  if (size < 1e-3 || size >= 1e15) {
    let e = Math.floor(Math.log10(size)), m = v / 10 ** e;
    if (Math.abs(m) > 9.95) { m /= 10; e += 1; }
    return (Math.abs(m - 1) < 0.005 ? "" : Number(m.toFixed(1)) + "·") + power(e);
  }
  if (size < 9999.5) return String(Number(v.toPrecision(size >= 100 ? 4 : 3)));
  const unit = Math.min(Math.floor(Math.log10(size * 1.0005) / 3), 4);
  return Number((v / 1000 ** unit).toPrecision(3)) + "KMBT"[unit - 1];
}

// All digits that the page has.
function full(value) {
  if (typeof value === "string") return value === "Infinity" ? "∞" : value === "-Infinity" ? "-∞" : value;
  const v = toNumber(value);
  if (Number.isNaN(v)) return "–";
  if (Number.isInteger(v) && Math.abs(v) < 1e15) return v.toLocaleString("en-US");
  return String(v);
}

// -------------------------------------------------------------------------------------- theme
const themes = ["auto", "light", "dark"];
function setTheme(name) {
  if (name === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = name;
  $("theme").textContent = "Theme: " + name;
}
function remembered(value) {
  try { // a page from a file may have no memory
    if (value) localStorage.setItem("scruple-theme", value);
    return localStorage.getItem("scruple-theme");
  } catch (error) {
    return null;
  }
}
function startTheme() {
  let theme = remembered();
  if (!themes.includes(theme)) theme = "auto";
  setTheme(theme);
  $("theme").addEventListener("click", () => {
    theme = themes[(themes.indexOf(theme) + 1) % themes.length];
    setTheme(theme);
    remembered(theme);
  });
}

// --------------------------------------------------------------------------------------- axes
function axis(log, low, high, from, to, about = 4) {
  const at = log ? Math.log10 : (v) => v;
  const a = at(low), b = at(high) === a ? a + 1 : at(high);
  const scale = (v) => {
    const t = (at(v) - a) / (b - a);
    return Number.isFinite(t) ? from + Math.max(-0.02, Math.min(1.02, t)) * (to - from) : NaN;
  };
  const ticks = [];
  if (log) {
    const every = Math.max(1, Math.ceil((b - a) / (about + 1)));
    const between = b - a < 3 ? [1, 2, 5] : [1];
    for (let e = Math.floor(a); e <= b + 1e-9; e++)
      for (const m of between)
        if (m * 10 ** e >= low * 0.999 && m * 10 ** e <= high * 1.001 && (e - Math.floor(a)) % every === 0)
          ticks.push(m * 10 ** e);
  }
  if (ticks.length < 2) {
    ticks.length = 0;
    const rough = (high - low) / about, unit = 10 ** Math.floor(Math.log10(rough));
    const step = unit * ([1, 2, 5].find((m) => m * unit >= rough * 0.999) || 10);
    if (step > 0) for (let v = Math.ceil(low / step - 1e-9) * step; v <= high + step * 1e-6; v += step)
      ticks.push(Math.abs(v) < step * 1e-6 ? 0 : v);
  }
  return { scale, ticks, low, high };
}

// What only a script can serve appears, what stands in for it goes.
function start() {
  document.querySelectorAll(".needs-script").forEach((node) => { node.hidden = false; });
  document.querySelectorAll(".without-script").forEach((node) => { node.hidden = true; });
  startTheme();
}

return { $, make, draw, toNumber, power, short, full, axis, start };
})();
