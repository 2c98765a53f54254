import fc from 'fast-check';
import { expect, test } from 'vitest';

import { resolve } from '../src/chordpro';
import { apply, canonical, compose, transform } from '../src/ot';
import type { Operation } from '../src/types';
import vectors from '../../tests/vectors/chordpro.json';

const CHORDS = ['C', 'Dm', 'E7', 'F#', 'G/B', 'Am7', 'Bb', 'Hsus4', 'N.C.', '*loud'];

test.each(vectors)('$name', (vector) => {
  const [mine, theirs] = [vector.mine as Operation, vector.theirs as Operation];
  const mineAfter = transform(mine, theirs, vector.mine_left);
  const resolution = resolve(vector.text, mine, theirs, mineAfter);
  expect(resolution?.operation ?? null).toEqual(vector.operation);
  expect(resolution?.conflicts ?? []).toEqual(vector.conflicts);
  const merged = apply(apply(vector.text, theirs), mineAfter);
  expect(apply(merged, resolution?.operation ?? [])).toBe(vector.result);
});

test('of two chords in one place one stays', () => {
  const chord = fc.constantFrom(...CHORDS);
  fc.assert(
    fc.property(chord, chord, chord, fc.boolean(), (before, mine, theirs, left) => {
      const text = `la [${before}] la`;
      const put = (made: string): Operation => canonical([4, made, -before.length]);
      const mineAfter = transform(put(mine), put(theirs), left);
      const resolution = resolve(text, put(mine), put(theirs), mineAfter);
      const merged = apply(apply(text, put(theirs)), mineAfter);
      if (resolution === null) {
        // The two together happen to be a chord as well.
        expect([`la [${mine}${theirs}] la`, `la [${theirs}${mine}] la`]).toContain(merged);
      } else {
        expect(apply(merged, resolution.operation)).toBe(`la [${mine}] la`);
      }
    }),
  );
});

test('a chord that never ends is looked at no longer than others', () => {
  const inside = `C(${'sus24'.repeat(48)}`;
  const text = `[${inside}A]`;
  const [mine, theirs] = [canonical([1 + inside.length, 'x']), canonical([1 + inside.length, -1])];
  const before = performance.now();
  resolve(text, mine, theirs, transform(mine, theirs, true));
  expect(performance.now() - before).toBeLessThan(100);
});

test('what is left over is found though something stands in between', () => {
  const [text, mine] = ['[A][B]', canonical([-3, 1, 'x', -1])];
  const [first, second] = [canonical([2, 'G', 1, -3]), canonical([3, '7'])];
  const mineAfter = transform(transform(mine, first, true), second, true);
  const theirs = compose(first, second);
  expect(apply(apply(text, theirs), mineAfter)).toBe('Gx7');
  expect(resolve(text, mine, theirs, mineAfter)).toEqual({
    operation: [-3],
    conflicts: [
      { kept: '', dropped: 'AG7' },
      { kept: '', dropped: 'x' },
    ],
  });
});
