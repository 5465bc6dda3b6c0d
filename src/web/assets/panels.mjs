// SPDX-License-Identifier: Apache-2.0
// panels: what stands around the picture, in the order in which a keyboard meets it. Each is mounted once,
// when the first picture is there.
import * as title from "scruple/title.mjs";
import * as search from "scruple/search.mjs";
import * as controls from "scruple/controls.mjs";
import * as selection from "scruple/selection.mjs";
import * as changes from "scruple/changes.mjs";
import * as filters from "scruple/filters.mjs";
import * as readout from "scruple/reading.mjs";
import * as legend from "scruple/legend.mjs";
import * as minimap from "scruple/minimap.mjs";
import * as status from "scruple/status.mjs";
import * as help from "scruple/help.mjs";
import * as permalink from "scruple/permalink.mjs";

/** @type {{mount: function(import("scruple/main.mjs").App): void}[]} */
export const panels = [title, search, controls, selection, changes, filters, legend, minimap, readout, status, help, permalink];
