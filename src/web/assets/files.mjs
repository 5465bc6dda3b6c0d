// SPDX-License-Identifier: Apache-2.0
// files: files of two models that hold no tensors, as a list: where their bytes differ, and what differs in the
// structure of JSON.
import {make} from "scruple/dom.mjs";
import {formatCount} from "scruple/names.mjs";

const SIGNS = {added: "+", removed: "\u2212", changed: "~"};
const ORDER = ["changed", "not_read", "only_a", "only_b"];

/** One line on a file. */
function sentenceOf(file) {
    if (file.status === "only_a") return `in A only, ${formatCount(file.bytes_a)} bytes`;
    if (file.status === "only_b") return `in B only, ${formatCount(file.bytes_b)} bytes`;
    if (file.status === "not_read") return file.why;
    const {bytes_a: a, bytes_b: b} = file;
    const sizes = a === b ? `of ${formatCount(a)} bytes` : `of ${formatCount(a)} in A, ${formatCount(b)} in B`;
    const bytes = file.differing_bytes === null ? `differs from byte ${formatCount(file.first_difference)} on; ${sizes}`
        : `${formatCount(file.differing_bytes)} bytes differ, the first at ${formatCount(file.first_difference)}, ${sizes}`;
    return file.why ? `${bytes}; ${file.why}` : bytes;
}

/** From the first byte to the last: how many of each part differ. */
function strip(file) {
    const each = Math.max(file.bytes_a, file.bytes_b) / file.strip.length;
    return make("div", {class: "p-file-strip", "aria-hidden": "true", title: "from the first byte to the last: the share of bytes that differ"},
        file.strip.map((n) => {
            const bar = make("span");
            bar.style.height = n > 0 ? `${Math.max(15, 100 * Math.min(1, n / Math.max(1, each)))}%` : "0";
            return bar;
        }));
}

/** What was added, removed or changed in JSON, by path. */
function changesOf({added, removed, changed, changes}) {
    if (!changes.length) return make("p", {class: "p-hint"}, "The same JSON, written in another way.");
    const more = added + removed + changed - changes.length;
    return make("ul", {class: "p-file-changes"}, changes.map(({path, kind, a, b}) => make("li", {"data-kind": kind},
        make("span", {class: "p-file-sign", title: kind}, SIGNS[kind]), make("code", null, path), " ",
        a === null ? null : make("code", {class: "p-file-a"}, a), a === null || b === null ? null : " \u2192 ",
        b === null ? null : make("code", {class: "p-file-b"}, b))), more > 0 ? make("li", {class: "p-hint"}, `and ${formatCount(more)} more`) : null);
}

/** Items of a list; `files` as in scruple.diff/1, null when they were not compared. */
export function fileItems(files) {
    if (!files) return [make("li", {class: "p-hint"}, "Other files were not compared.")];
    const shown = ORDER.flatMap((status) => files.filter((file) => file.status === status)), same = files.length - shown.length;
    const items = shown.map((file) => make("li", {class: "p-file", "data-status": file.status},
        make("span", {class: "p-ranked-name"}, file.path), make("small", null, sentenceOf(file)), file.strip ? strip(file) : null,
        file.structure ? changesOf(file.structure) : null));
    if (same || !shown.length)
        items.push(make("li", {class: "p-hint"}, same ? `${formatCount(same)} ${same === 1 ? "file is" : "files are"} the same.`
            : "There are no files but those with tensors."));
    return items;
}
