// npm's ot-text-unicode and ot, doing what benchmarks/songs.py does: microseconds for each, as JSON.
'use strict';
const { type, insert } = require('ot-text-unicode');
const { TextOperation } = require('ot');

// The median of five runs, in microseconds a call.
function median(count, call) {
  const runs = [];
  for (let run = 0; run < 5; run += 1) {
    const began = process.hrtime.bigint();
    for (let number = 0; number < count; number += 1) call(number);
    runs.push(Number(process.hrtime.bigint() - began) / 1000 / count);
  }
  return runs.sort((a, b) => a - b)[2];
}

const splice = (length, at, text) => new TextOperation().retain(at).insert(text).retain(length - at);

function unicode() {
  const one = [50, 'x'], other = [90, 'y'];
  const short = 'x'.repeat(10000), long = '♭😀x'.repeat(25000);
  const log = Array.from({ length: 100 }, (_, number) => [number + 1, 'y']);
  return {
    transform: median(50000, () => type.transform(one, other, 'left')),
    'apply, 10 KB': median(500, () => type.apply(short, [5000, 'y'])),
    'apply, 100 KB with ♭ and 😀': median(50, () => type.apply(long, [50000, 'y'])),
    'transform past 100': median(500, () => log.reduce((mine, each) => type.transform(mine, each, 'left'), one)),
  };
}

function ot() {
  const one = splice(10000, 50, 'x'), other = splice(10000, 90, 'y');
  const short = 'x'.repeat(10000), long = '♭😀x'.repeat(25000);
  const log = Array.from({ length: 100 }, (_, number) => splice(10000 + number, number, 'y'));
  const typed = splice(10000, 5000, 'y'), typedLong = splice(long.length, 50001, 'y');
  return {
    transform: median(50000, () => TextOperation.transform(one, other)),
    'apply, 10 KB': median(500, () => typed.apply(short)),
    'apply, 100 KB with ♭ and 😀': median(50, () => typedLong.apply(long)),
    'transform past 100': median(500, () => log.reduce((mine, each) => TextOperation.transform(mine, each)[0], one)),
  };
}

process.stdout.write(JSON.stringify({ 'ot-text-unicode': unicode(), ot: ot() }) + '\n');
