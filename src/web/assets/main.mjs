// SPDX-License-Identifier: Apache-2.0
// main: from an empty page to a picture with panels around it.
//
// The page holds nothing but <main id="scruple"></main> and, in its head, viewer.css, panels.css,
// the import map and a module script that imports scruple/main.mjs. All else is made here.

import {createStore} from "scruple/store.mjs";

/**
 * One picture.
 * @typedef {object} View
 * @property {number} index
 * @property {string} title                                  any text
 * @property {import("scruple/scene.mjs").Scene} scene
 * @property {import("scruple/colour.mjs").Scales} scales
 * @property {import("scruple/tiles.mjs").Tiles} tiles
 * @property {function(number): Promise<object>} figures     of a tensor (protocol: `tensor`); kept
 *   until the scales change
 * @property {function(number, number, number, number, AbortSignal=): Promise<object>} value
 *   tensor, slice, row, col: as the protocol's `value`; from a tile that is here, else asked for
 */

/**
 * What panels and tests work with; also `window.scruple`.
 * @typedef {object} App
 * @property {ReturnType<typeof createStore>} store   see State in store.mjs
 * @property {object} doc                             view.json
 * @property {object} source                          see source.mjs
 * @property {import("scruple/colour.mjs").Colours} colours
 * @property {View[]} views
 * @property {{root: HTMLElement, bar: HTMLElement, stage: HTMLElement, side: HTMLElement,
 *   corner: HTMLElement}} elements  bar: above; stage: the picture; side: at the right, for panels
 *   that come and go; corner: over the stage, below at the left, for legend and minimap
 * @property {import("scruple/camera.mjs").Camera} camera
 * @property {import("scruple/input.mjs").Keys} keys  keys.bind("f", "what it does", fn)
 * @property {function(import("scruple/store.mjs").Spot, {zoom?: number, animate?: boolean,
 *   select?: boolean}=): void} goTo  flies to an element (row, col) or a tensor (row null) and
 *   selects it
 * @property {function(): void} fit
 * @property {function(): Promise<Blob>} shot         a PNG of what is seen, with names
 * @property {function(): View} front                 the view that is in front
 * @property {function(): Promise<void>} settled      nothing is on its way, nothing moves
 */
