// npm's ot-text-unicode, asked by JSON lines: each line is a list of cases {text, one, other, next,
// index}, each answer a list of what it makes of them. Operations count code points:
// 3 keeps, "x" inserts, {d: 2} deletes.
'use strict';
const readline = require('node:readline');
const { type } = require('ot-text-unicode');

const results = ({ text, one, other, next, index }) => ({
  left: type.transform(one, other, 'left'),
  right: type.transform(one, other, 'right'),
  composed: type.compose(one, next),
  inverted: type.invert(type.makeInvertible(one, text)),
  applied: type.apply(text, one),
  index: type.transformPosition(index, one),
});

readline
  .createInterface({ input: process.stdin })
  .on('line', (line) => process.stdout.write(JSON.stringify(JSON.parse(line).map(results)) + '\n'))
  .on('close', () => process.exit(0));
