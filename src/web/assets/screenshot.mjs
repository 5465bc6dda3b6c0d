// SPDX-License-Identifier: Apache-2.0
// screenshot: what is seen, with its names, as a PNG.

/**
 * @param {import("scruple/main.mjs").App} app
 * @returns {Promise<Blob>}
 */
export function shoot(app) {
    const {stage} = app, {width, height} = app.store.get("size");
    const canvas = document.createElement("canvas");
    canvas.width = width;
    canvas.height = height;
    stage.draw(); // in this task: else what was drawn may be gone
    const c = canvas.getContext("2d");
    c.drawImage(stage.canvas, 0, 0);
    c.drawImage(stage.overlay, 0, 0);
    return new Promise((done, fail) => canvas.toBlob(
        (blob) => blob ? done(blob) : fail(new Error("The picture is too large for a PNG.")),
        "image/png"));
}

/** Offers a file for download. */
export function save(blob, name) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}
