// SPDX-License-Identifier: Apache-2.0
// panels: what stands around the picture. Each is mounted once, when the first picture is there.

/** @type {{mount: function(import("scruple/main.mjs").App): void}[]} */
export const panels = [];
