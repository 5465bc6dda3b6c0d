// SPDX-License-Identifier: Apache-2.0
// A chart with lines, bands and marks that can be zoomed (wheel, pinch, + and -), moved (drag,
// arrows) and read (pointer). Colours are classes of the style sheet, so themes just work.
"use strict";
scruple.Chart = class {
// x, y: { log, nines, low, high, title, text }. nines: values are 1 - v of what is shown, the best
// on top. text: how a value reads.
constructor(host, options) {
  this.host = host;
  this.options = { height: 420, ...options };
  this.series = [];
  this.home();
  this.svg = scruple.draw("svg", { class: "plot chart", role: "img", tabindex: 0 });
  this.svg.setAttribute("aria-label", options.label);
  this.tip = scruple.make("output", { class: "tip" });
  host.replaceChildren(this.svg, this.tip);
  this.listen();
}

home() {
  const { x, y } = this.options;
  this.view = { x: [x.low, x.high], y: [y.low, y.high] };
}

// Where an axis has a value, between 0 and 1 of what is seen.
share(axis, v) {
  const [low, high] = this.view[axis], at = this.options[axis].log ? Math.log10 : (u) => u;
  return (at(v) - at(low)) / (at(high) - at(low));
}

value(axis, t) {
  const [low, high] = this.view[axis];
  if (this.options[axis].log) return 10 ** (Math.log10(low) + t * (Math.log10(high) - Math.log10(low)));
  return low + t * (high - low);
}

px(v) { return this.box.x + this.share("x", v) * this.box.w; }
py(v) {
  const t = this.share("y", v);
  return this.box.y + (this.options.y.nines ? t : 1 - t) * this.box.h;
}

text(axis, v) {
  const { nines, text } = this.options[axis];
  if (nines) return String(Number((1 - v).toPrecision(Math.max(2, Math.min(15, 2 - Math.floor(Math.log10(v)))))));
  return text ? text(v) : scruple.short(v);
}

setSeries(series) {
  this.series = series;
  this.draw();
}

// ------------------------------------------------------------------------------------ drawing
ticks(axis, room) {
  const { log, nines } = this.options[axis], [low, high] = this.view[axis];
  const about = Math.max(3, Math.min(10, Math.floor(room)));
  let ticks = scruple.axis(log, low, high, 0, 1, about).ticks;
  if (nines) ticks = ticks.filter((v) => Math.abs(Math.log10(v) - Math.round(Math.log10(v))) < 1e-6);
  if (nines && ticks.length < 2) ticks = scruple.axis(false, low, high, 0, 1, about).ticks;
  const most = Math.max(2, Math.floor(room));
  const every = Math.ceil(ticks.length / most);
  return ticks.filter((_, i) => i % every === 0);
}

draw() {
  const { draw } = scruple, { x, y } = this.options;
  const width = Math.max(280, this.host.clientWidth || 1000);
  const height = Math.min(this.options.height, Math.max(300, width * 0.62));
  const yTicks = this.ticks("y", height / 40);
  const left = 16 + 6.4 * Math.max(3, ...yTicks.map((v) => this.text("y", v).length));
  this.box = { x: left, y: 30, w: width - left - 14, h: height - 30 - 44 };
  const b = this.box, svg = this.svg;
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const nodes = [draw("text", { class: "t2", x: 2, y: 14 }, y.title)];
  for (const v of yTicks) {
    const at = this.py(v);
    nodes.push(draw("line", { class: "k-grid", x1: b.x, x2: b.x + b.w, y1: at, y2: at }),
      draw("text", { class: "t0", x: b.x - 6, y: at + 4, "text-anchor": "end" }, this.text("y", v)));
  }
  for (const v of this.ticks("x", b.w / 76)) {
    const at = this.px(v);
    nodes.push(draw("line", { class: "k-grid", x1: at, x2: at, y1: b.y, y2: b.y + b.h }),
      draw("text", { class: "t0", x: at, y: b.y + b.h + 16, "text-anchor": "middle" }, this.text("x", v)));
  }
  nodes.push(draw("line", { class: "k-axis", x1: b.x, x2: b.x + b.w, y1: b.y + b.h, y2: b.y + b.h }),
    draw("text", { class: "t2", x: b.x + b.w / 2, y: height - 8, "text-anchor": "middle" }, x.title));
  const inner = draw("svg", { x: b.x, y: b.y, width: b.w, height: b.h, viewBox: `${b.x} ${b.y} ${b.w} ${b.h}` });
  this.taken = this.series.flatMap((s) => s.hidden ? [] : (s.marks || []).map((m) =>
    ({ x: this.px(m.x) - 4, y: this.py(m.y) - 4, w: 8, h: 8 })));
  for (const s of this.series) if (!s.hidden) this.drawSeries(inner, s);
  this.cursor = draw("line", { class: "k-muted", y1: b.y, y2: b.y + b.h, x1: -9, x2: -9, "stroke-dasharray": "3 3" });
  inner.append(this.cursor);
  svg.replaceChildren(...nodes, inner);
  this.drawNames();
}

drawSeries(inner, s) {
  const { draw } = scruple;
  const path = (points) => {
    let d = "", run = 0;
    const end = () => { if (run === 1) d += "m-2 0h4"; run = 0; }; // seen, though no line goes there
    for (const [vx, vy] of points) {
      const x = this.px(vx), y = this.py(vy), good = Number.isFinite(x) && Number.isFinite(y);
      if (!good) { end(); continue; }
      d += `${run ? "L" : "M"}${x.toFixed(1)} ${Math.max(-1e5, Math.min(1e5, y)).toFixed(1)}`;
      run++;
    }
    end();
    return d;
  };
  if (s.band) // pieces between gaps, each there and back
    for (const piece of scruple.pieces(s.band)) {
      const [x0, low0, high0] = piece[0];
      const d = piece.length === 1
        ? `M${(this.px(x0) - 2).toFixed(1)} ${this.py(high0).toFixed(1)}h4V${this.py(low0).toFixed(1)}h-4` : path(piece.map(([x, low]) => [x, low])) +
        path(piece.map(([x, , high]) => [x, high]).reverse()).replace("M", "L");
      inner.append(draw("path", { class: `f-${s.ink}`, "fill-opacity": ".16", d: d + "Z" }));
    }
  if (s.points && s.line !== false) {
    const d = path(s.points);
    if (d) inner.append(draw("path", { class: `k-${s.ink}`, fill: "none", "stroke-width": s.width || 1.8,
      "stroke-linejoin": "round", d, "stroke-dasharray": s.dash ? "5 4" : "none" }));
  }
  for (const m of s.marks || []) {
    const x = this.px(m.x), y = this.py(m.y), r = m.r || 5;
    if (!Number.isFinite(x) || !Number.isFinite(y)) continue;
    const shape = m.diamond
      ? draw("path", { class: `f-${s.ink} k-surface`, d: `M${x} ${y - r}L${x + r} ${y}L${x} ${y + r}L${x - r} ${y}Z` })
      : draw("circle", { class: `f-${s.ink} k-surface`, cx: x, cy: y, r });
    inner.append(draw("g", null, draw("title", null, m.tip || ""), shape));
    if (m.name) this.drawName(inner, m.name, x, y, r);
  }
}

// Beside its mark, where no other name is.
drawName(inner, name, x, y, r) {
  const w = 6.6 * name.length, b = this.box;
  for (const [side, dy] of [[1, 0], [-1, 0], [1, -11], [1, 11], [-1, -11], [-1, 11]]) {
    const box = { x: side > 0 ? x + r + 4 : x - r - 4 - w, y: y + dy - 7, w, h: 13 };
    const hit = (o) => box.x < o.x + o.w && o.x < box.x + box.w && box.y < o.y + o.h && o.y < box.y + box.h;
    if (box.x < b.x || box.x + w > b.x + b.w || box.y < b.y || box.y + 13 > b.y + b.h || this.taken.some(hit)) continue;
    this.taken.push(box);
    inner.append(scruple.draw("text", { class: "t1", x: side > 0 ? box.x : box.x + w, y: y + dy + 4,
      "text-anchor": side > 0 ? "start" : "end" }, name));
    return;
  }
}

// ------------------------------------------------------------------------------------ reading
// Names and values of the lines at the pointer, or names alone.
drawNames(at) {
  const { make } = scruple;
  this.tip.replaceChildren(...this.series.filter((s) => s.name && !s.hidden).map((s) => {
    let value = "";
    if (at !== undefined && s.points && s.line !== false) {
      const p = scruple.nearest(s.points, at);
      if (p) value = ` ${this.text("y", p[1])}`;
    }
    return make("span", null, scruple.swatch(s), s.name, make("b", null, value));
  }));
  if (at !== undefined)
    this.tip.prepend(make("span", { class: "at" }, `${this.options.x.title} `, make("b", null, this.text("x", at))));
}

point(event) {
  const r = this.svg.getBoundingClientRect(), scale = this.svg.viewBox.baseVal.width / r.width;
  return { x: ((event.clientX - r.left) * scale - this.box.x) / this.box.w,
    y: ((event.clientY - r.top) * scale - this.box.y) / this.box.h };
}

// --------------------------------------------------------------------------------- zoom and pan
zoom(axis, factor, centre) {
  const { log, low: homeLow, high: homeHigh } = this.options[axis];
  const at = log ? Math.log10 : (v) => v, back = log ? (v) => 10 ** v : (v) => v;
  const [low, high] = this.view[axis].map(at), middle = low + centre * (high - low);
  const full = at(homeHigh) - at(homeLow);
  const span = Math.max(full * 1e-5, Math.min(full, (high - low) * factor));
  let first = middle - centre * span;
  first = Math.max(at(homeLow), Math.min(at(homeHigh) - span, first));
  this.view[axis] = [back(first), back(first + span)];
}

move(axis, by) {
  const { log, low: homeLow, high: homeHigh } = this.options[axis];
  const at = log ? Math.log10 : (v) => v, back = log ? (v) => 10 ** v : (v) => v;
  const [low, high] = this.view[axis].map(at), span = high - low;
  const first = Math.max(at(homeLow), Math.min(at(homeHigh) - span, low + by * span));
  this.view[axis] = [back(first), back(first + span)];
}

// Of the vertical axis, from its lower value on.
centreY(t) { return this.options.y.nines ? t : 1 - t; }
panY(by) { this.move("y", this.options.y.nines ? -by : by); }

zoomBoth(factor, p) {
  this.zoom("x", factor, p.x);
  this.zoom("y", factor, this.centreY(p.y));
  this.draw();
}

listen() {
  const held = new Map();
  this.svg.addEventListener("wheel", (event) => {
    event.preventDefault();
    const p = this.point(event), factor = Math.exp(Math.max(-1, Math.min(1, event.deltaY / 300)));
    if (!event.shiftKey) this.zoom("y", factor, this.centreY(p.y));
    this.zoom("x", factor, p.x);
    this.draw();
  }, { passive: false });
  this.svg.addEventListener("pointerdown", (event) => {
    held.set(event.pointerId, this.point(event));
    this.svg.setPointerCapture(event.pointerId);
  });
  this.svg.addEventListener("pointermove", (event) => {
    const p = this.point(event), before = held.get(event.pointerId);
    if (before && held.size === 1) {
      this.move("x", before.x - p.x);
      this.panY(p.y - before.y);
      this.draw();
    } else if (before && held.size === 2) {
      const other = [...held].find(([id]) => id !== event.pointerId)[1];
      const was = Math.hypot(before.x - other.x, before.y - other.y), is = Math.hypot(p.x - other.x, p.y - other.y);
      if (is > 0.01) this.zoomBoth(was / is, { x: (p.x + other.x) / 2, y: (p.y + other.y) / 2 });
    }
    if (before) held.set(event.pointerId, p);
    if (p.x < 0 || p.x > 1) return;
    const at = this.value("x", p.x);
    this.cursor.setAttribute("x1", this.px(at));
    this.cursor.setAttribute("x2", this.px(at));
    this.drawNames(at);
  });
  const release = (event) => held.delete(event.pointerId);
  this.svg.addEventListener("pointerup", release);
  this.svg.addEventListener("pointercancel", release);
  this.svg.addEventListener("pointerleave", () => this.drawNames());
  this.svg.addEventListener("dblclick", () => { this.home(); this.draw(); });
  this.svg.addEventListener("keydown", (event) => {
    const middle = { x: 0.5, y: 0.5 };
    const actions = { "+": () => this.zoomBoth(0.7, middle), "=": () => this.zoomBoth(0.7, middle),
      "-": () => this.zoomBoth(1 / 0.7, middle), "0": () => { this.home(); this.draw(); },
      ArrowLeft: () => { this.move("x", -0.1); this.draw(); }, ArrowRight: () => { this.move("x", 0.1); this.draw(); },
      ArrowUp: () => { this.panY(0.1); this.draw(); }, ArrowDown: () => { this.panY(-0.1); this.draw(); } };
    if (!actions[event.key]) return;
    event.preventDefault();
    actions[event.key]();
  });
  let waiting = 0;
  window.addEventListener("resize", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => this.draw(), 120);
  });
}
};

// Runs of entries that are all numbers.
scruple.pieces = (list) => {
  const pieces = [];
  let last = null;
  for (const entry of list) {
    if (!entry.every(Number.isFinite)) { last = null; continue; }
    if (!last) pieces.push(last = []);
    last.push(entry);
  }
  return pieces.filter((piece) => piece.length > 1);
};

// Of points sorted by x, the one nearest to `at`.
scruple.nearest = (points, at) => {
  let low = 0, high = points.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (points[middle][0] <= at) low = middle; else high = middle;
  }
  if (!points.length) return null;
  const best = Math.abs(points[low][0] - at) <= Math.abs(points[high][0] - at) ? points[low] : points[high];
  return Number.isFinite(best[1]) ? best : null;
};

scruple.swatch = (s) => {
  const { draw } = scruple, diamond = s.marks && s.marks.some((m) => m.diamond);
  return draw("svg", { width: 18, height: 12, "aria-hidden": "true", class: "swatch" },
    s.marks ? draw("path", { class: `f-${s.ink}`, d: diamond ? "M9 1L14 6L9 11L4 6Z" : "M9 2A4 4 0 1 1 8.99 2Z" })
      : draw("line", { class: `k-${s.ink}`, x1: 0, x2: 18, y1: 6, y2: 6, "stroke-width": 3,
        "stroke-dasharray": s.dash ? "5 3" : "none" }));
};

// Little-endian floats from base64.
scruple.floats = (text) => {
  const raw = atob(text), bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
  const view = new DataView(bytes.buffer), out = new Float64Array(bytes.length / 4);
  for (let i = 0; i < out.length; i++) out[i] = view.getFloat32(4 * i, true);
  return out;
};
