// SPDX-License-Identifier: Apache-2.0
// What the Rust tokenizers make of texts, by @anush008/tokenizers (npm), one JSON object a line:
//
//     node tests/oracle/tokenize.js FOLDER COUNT SEED [TEXTS.json]
//
// for every *.json of FOLDER: texts that are always there, COUNT random ones, and those of the list in
// TEXTS.json. Offsets are in bytes.
'use strict';
const fs = require('fs'), path = require('path');
const {Tokenizer} = require('@anush008/tokenizers');

const fixed = ['', ' ', '  a', 'Hello, world!', "Don't we've IT'S he'LL", '1234567 12 3', 'a\n\n\n  b\r\n\tc   ',
  'naïve word naïve wordy', 'The weights of a model are numbers,   and most of them are small.\n',
  'Größe ﬁ ½ Ａ e\u0301 \u00e9 \u1e9b\u0323 \ud55c\uae00 \u1112\u1161\u11ab', '模型的权重是数字，大多数都很小。',
  'أوزان النموذج أرقام ﷺ', 'मॉडल के वज़न', '👩‍👩‍👧‍👦 🏳️‍🌈 🇩🇪', '<|endoftext|>a <|endoftext|>  <|user|>  x', '<s>x</s> </s>',
  '[MASK] x [MASK]y [CLS]', '▁▁a ▁ b', 'x\u00a0y\u3000z\u200b\u0085\u001c\u180e\ufeff', '\u0000\u0007\ufffd', "ſ K İ ẞ 'ſ",
  '...!!! --- «q» “x”', 'ĠĊ<0x41>', '\ud7a4\u0378\ue000', 'a'.repeat(60), '!'.repeat(40), ' '.repeat(40) + 'x',
  'ab'.repeat(50) + ' ' + 'ba'.repeat(50)];
const words = ['the', 'Hello', ' weights', "'s", "'LL", "don't", '123', '4567', ' 12,345.67', '\n', '\r\n', '  ', '   \t',
  'naïve word', 'Ünï', 'ﬁ', '日本', '数字', '모델', 'веса', 'मॉडल', 'สวัส', 'أرقام', 'הם', '👩‍👩‍👧', '🏳️‍🌈', 'e\u0301', 'İ', 'ſ', 'K',
  'ß', '<|endoftext|>', '<|user|>', '<s>', '</s>', '[MASK]', '[CLS]', '<unk>', '▁', ' ▁a', 'Ġ', '\u00a0', '\u3000', '\u200b',
  '\ufeff', '\u0085', '½', '²', '١٢', 'Ⅷ', '!!!', '...', '—', '“q”', '_x_', 'C++', 'http://x.y/z?q=1', '<0x41>', '\u0000',
  '\ufffd', '𝔘𝔫', '㍿', 'ﷺ', 'Å', '가', '\u1100\u1161\u11a8', '\u0344', '\u0958', '🇩🇪', '🇩'];
const ranges = [[0x20, 0x7e], [0xa0, 0x24f], [0x250, 0x36f], [0x370, 0x52f], [0x530, 0x7ff], [0x900, 0xdff],
  [0xe00, 0x13ff], [0x1e00, 0x20cf], [0x2100, 0x2bff], [0x3000, 0x33ff], [0x4e00, 0x9fff], [0xac00, 0xd7a3],
  [0xf900, 0xffff], [0x10000, 0x1d7ff], [0x1f000, 0x1faff], [0x20000, 0x2ffff], [0, 0x10ffff]];
// Digits and letters with case that came after Unicode 16: the library has those of its compiler.
const later = c => (c >= 0x11de0 && c <= 0x11de9) || (c >= 0x16ff4 && c <= 0x16ff6) || (c >= 0xa7ce && c <= 0xa7d5) ||
  (c >= 0x16ea0 && c <= 0x16ed3) || (c >= 0xd800 && c < 0xe000);

let state = 1;
function below(n) {
  state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
  return Math.floor(state / 0x80000000 * n);
}
function randomText() {
  let s = '';
  for (let i = 1 + below(10); i > 0; i--) {
    const kind = below(5);
    if (kind < 2) s += words[below(words.length)];
    else if (kind === 2) s += ' '.repeat(below(4)) + words[below(words.length)] + ' ';
    else if (kind === 3) {
      const [a, b] = ranges[below(ranges.length)];
      for (let k = 1 + below(6); k > 0; k--) {
        const c = a + below(b - a + 1);
        if (!later(c)) s += String.fromCodePoint(c);
      }
    } else for (let k = 1 + below(8); k > 0; k--) s += String.fromCharCode(97 + below(26));
  }
  return s;
}

async function main(folder, count, seed, file) {
  const texts = fixed.concat(file ? JSON.parse(fs.readFileSync(file, 'utf8')) : []);
  for (const name of fs.readdirSync(folder).filter(x => x.endsWith('.json')).sort()) {
    const t = Tokenizer.fromFile(path.join(folder, name));
    state = seed;
    for (let i = 0; i < texts.length + count; i++) {
      const text = i < texts.length ? texts[i] : randomText();
      const at = [];  // byte of each character
      let bytes = 0;
      for (const ch of text) {
        at.push(bytes);
        bytes += Buffer.byteLength(ch);
      }
      at.push(bytes);
      const found = await t.encode(text, null, {addSpecialTokens: true});
      const ids = found.getIds(), offsets = found.getOffsets();
      process.stdout.write(JSON.stringify({tokenizer: name, text, ids, from: offsets.map(x => at[x[0]]),
        to: offsets.map(x => at[x[1]]), decoded: await t.decode(ids, true)}) + '\n');
    }
  }
}
main(process.argv[2], +process.argv[3], +process.argv[4], process.argv[5]);
