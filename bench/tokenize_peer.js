// SPDX-License-Identifier: Apache-2.0
// MB/s of npm's @anush008/tokenizers (the Rust tokenizers): node tokenize_peer.js TEXT TOKENIZER.json...
// One line each. Texts go in pieces of 4,000 characters, cut at ends of lines, which is how the library is fastest:
// its time grows faster than a text.
'use strict';
const fs = require('fs'), {Tokenizer} = require('@anush008/tokenizers');
async function main(file, tokenizers) {
  const text = fs.readFileSync(file, 'utf8').slice(0, 2000000), pieces = [];
  for (let at = 0; at < text.length;) {
    const end = text.indexOf('\n', at + 4000);
    pieces.push(text.slice(at, end < 0 ? text.length : end + 1));
    at = end < 0 ? text.length : end + 1;
  }
  for (const path of tokenizers) {
    const t = Tokenizer.fromFile(path);
    let best = Infinity;
    for (let run = 0; run < 3; run++) {
      const start = process.cpuUsage();
      for (const piece of pieces) await t.encode(piece);
      const used = process.cpuUsage(start);
      best = Math.min(best, used.user + used.system);
    }
    console.log(`${path}\t${(Buffer.byteLength(text) / best).toFixed(3)}`);
  }
}
main(process.argv[2], process.argv.slice(3));
