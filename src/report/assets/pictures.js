// SPDX-License-Identifier: Apache-2.0
// Pages of pictures: what a mark says, beside the pointer or the finger. Browsers show <title>
// themselves, but late, and not at all where there is no pointer.
(() => {
"use strict";
const { $ } = scruple;
const tip = $("tip");

// Else the browser's own tooltip would come on top of ours.
document.querySelectorAll("svg.plot g > title").forEach((title) => {
  title.parentNode.setAttribute("aria-label", title.textContent);
  title.remove();
});

function words(node) {
  const item = node instanceof Element && node.closest("svg.plot g[aria-label]");
  return item ? item.getAttribute("aria-label") : "";
}

function place(event) {
  const gap = 14, room = 8, box = tip.getBoundingClientRect();
  const x = event.clientX + gap + box.width > innerWidth - room ? event.clientX - gap - box.width : event.clientX + gap;
  const y = event.clientY + gap + box.height > innerHeight - room ? event.clientY - gap - box.height : event.clientY + gap;
  tip.style.left = Math.max(room, x) + "px";
  tip.style.top = Math.max(room, y) + "px";
}

function show(event) {
  const text = words(event.target);
  tip.hidden = !text;
  if (!text) return;
  tip.textContent = text;
  place(event);
}

scruple.start();
addEventListener("pointermove", show);
addEventListener("pointerdown", show);
addEventListener("scroll", () => { tip.hidden = true; }, { passive: true });
addEventListener("keydown", (event) => { if (event.key === "Escape") tip.hidden = true; });
})();
