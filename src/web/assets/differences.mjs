// SPDX-License-Identifier: Apache-2.0
// differences: what panels say of a picture of B - A.
import {facts, make} from "scruple/dom.mjs";
import {formatCount, formatShape, formatValue} from "scruple/names.mjs";
import {exact, hexText, numberOf, percent} from "scruple/text.mjs";

const VERDICTS = {bits: "unchanged, bit for bit", values: "unchanged in value", cast: "rounded", about: "about as by rounding",
    changed: "changed"};
const STATUSES = {untouched: "untouched by the adapter", only_a: "in A only", only_b: "in B only", shape: "another shape in B"};

/** The verdict of `scruple diff` on a pair, in words. */
export function verdictText(change) {
    const words = VERDICTS[change.verdict] ?? change.verdict;
    return change.cast && (change.verdict === "cast" || change.verdict === "about") ? `${words} to ${change.cast}` : words;
}

/** "A 0.5  00 00 00 3f" of one side. */
function sideText(word, side) {
    if (!side) return [];
    return [`${word} ${exact(numberOf(side.value))}${side.raw ? `  ${hexText(side.raw)}` : ""}`];
}

/** Both values, their difference, and how many numbers lie between them. */
function read(scene, answer) {
    const lines = [...sideText("A", answer.a), ...sideText("B", answer.b)];
    if (!answer.a && !answer.b && answer.value !== null) return [`B \u2212 A ${exact(numberOf(answer.value))}`];
    if (answer.value !== null && answer.value !== undefined) lines.push(`B \u2212 A ${exact(numberOf(answer.value))}`);
    else lines.push(answer.a && answer.b ? "cannot be compared" : answer.a ? "no such element in B" : "no such element in A");
    if (answer.ulp > 0) lines.push(`${formatCount(answer.ulp)} ulp apart`);
    return lines;
}

const ONE_LINE = {exact: "Any change, by its sign", "abs-log": "B \u2212 A, logarithmic from 1e-6 to 0.1; below is no step"};

/** The line of the legend. */
function sentence(app, mode, {view, tensor, scale}) {
    if (Object.hasOwn(ONE_LINE, mode.name)) return ONE_LINE[mode.name];
    const name = tensor < 0 ? "" : view.scene.names[tensor];
    if (mode.name === "rms")
        return tensor < 0 ? "B \u2212 A; each tensor ends at half the root mean square of A"
            : scale > 0 ? `B \u2212 A up to half the root mean square of ${name} in A`
                : `B \u2212 A; the root mean square of ${name} in A is not known yet`;
    const {scaleOf, plane} = app.store.get(), what = mode.folded ? "|B \u2212 A|" : "B \u2212 A";
    const of = plane === "mean" || plane === "rms" ? "99.9 % quantile" : "largest";
    if (tensor < 0 && scaleOf !== "model") return `${what}; each ${scaleOf} ends at its ${of} |B \u2212 A|`;
    const whose = scaleOf === "model" ? "all tensors" : scaleOf === "role" ? `all ${view.scene.roleOf(tensor)}` : name;
    return `${what} up to the ${of} of ${whose}${scale > 0 ? "" : ": no finite change is known"}`;
}

const typeText = (side) => side && `${side.dtype} ${formatShape(side.shape)}`;

/** The row of `scruple diff` for a tensor. */
function details({pair}) {
    if (!pair) return [];
    const {a, b, change: c} = pair, number = (key) => c && c[key] !== null ? formatValue(c[key], 4) : null;
    const rows = [["verdict", c ? verdictText(c) : STATUSES[pair.status] ?? (pair.why ? null : "being measured\u2026")],
        ["why", pair.why], ["undone", pair.transform],
        ["changed", c && `${formatCount(c.changed)} of ${formatCount(c.values)} (${percent(c.changed, c.values)})`],
        ["relative change", number("relative_l2"), "||B \u2212 A|| / ||A||"], ["1 \u2212 cosine", number("one_minus_cosine")],
        ["largest |B \u2212 A|", number("max_abs")], ["rms of B \u2212 A", number("rms")],
        ["not finite", c && c.nonfinite_a + c.nonfinite_b > 0 ? `${formatCount(c.nonfinite_a)} in A, ${formatCount(c.nonfinite_b)} in B` : null],
        ["in A", typeText(a)], ["in B", typeText(b)], ["name in B", a && b && a.name !== b.name ? b.name : null]];
    return [make("div", {class: "p-pair"}, facts(rows))];
}

export const differences = {plane: "abs",
    about: "Every pixel is B \u2212 A of a weight, or says something of those that it holds: the largest of them, their mean, and so on, " +
        "as chosen above. It is computed from values, never from colours.", read, sentence, more: details, swatches: [["same", "unchanged"], ["only_a", "in A only"],
    ["only_b", "in B only"], ["shape", "another shape"], ["nan", "NaN"], ["pos_inf", "+\u221e"], ["neg_inf", "\u2212\u221e"],
    ["waiting", "not read yet"], ["unknown", "cannot be decoded"]]};
