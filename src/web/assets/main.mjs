// SPDX-License-Identifier: Apache-2.0
const view = await (await fetch("view.json")).json();
const line = document.createElement("p");
line.textContent = view.title;
document.body.append(line);
