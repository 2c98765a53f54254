import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import * as ot from '../src/ot';
import type { Component, Operation } from '../src/types';
import json from '../../tests/vectors/ot.json';
import { concurrent, following, texts } from './operations';

type Cases<Fields> = ({ name: string } & Fields)[];
interface Vectors {
  canonical: Cases<{ parts: Component[]; operation: Operation }>;
  apply: Cases<{ text: string; operation: Operation; result: string }>;
  compose: Cases<{ first: Operation; second: Operation; operation: Operation }>;
  transform: Cases<{ one: Operation; other: Operation; left: Operation; right: Operation }>;
  invert: Cases<{ text: string; operation: Operation; inverse: Operation }>;
  wire: Cases<{ parts: unknown; operation: Operation; canonical: unknown }>;
  refused: Cases<{ parts: unknown }>;
  cursor: Cases<{ index: number; operation: Operation; before: number; after: number }>;
  selection: Cases<{ start: number; end: number; operation: Operation; result: unknown }>;
  diff: Cases<{ before: string; after: string; operation: Operation }>;
}
const vectors = json as Vectors;

describe('the cases that every implementation has to pass', () => {
  test.each(vectors.canonical)('canonical: $name', ({ parts, operation }) => {
    expect(ot.canonical(parts)).toEqual(operation);
  });

  test.each(vectors.apply)('apply: $name', ({ text, operation, result }) => {
    ot.check(text, operation);
    expect(ot.apply(text, operation)).toBe(result);
  });

  test.each(vectors.compose)('compose: $name', ({ first, second, operation }) => {
    expect(ot.compose(first, second)).toEqual(operation);
  });

  test.each(vectors.transform)('transform: $name', ({ one, other, left, right }) => {
    expect(ot.transform(one, other, true)).toEqual(left);
    expect(ot.transform(one, other, false)).toEqual(right);
  });

  test.each(vectors.invert)('invert: $name', ({ text, operation, inverse }) => {
    expect(ot.invert(operation, text)).toEqual(inverse);
  });

  test.each(vectors.wire)('the wire: $name', ({ parts, operation, canonical }) => {
    expect(ot.fromWire(parts)).toEqual(operation);
    expect(ot.toWire(operation)).toEqual(canonical);
  });

  test.each(vectors.refused)('refused: $name', ({ parts }) => {
    expect(() => ot.fromWire(parts)).toThrow(ot.OperationError);
  });

  test.each(vectors.cursor)('a cursor: $name', ({ index, operation, before, after }) => {
    expect(ot.transformIndex(index, operation)).toBe(before);
    expect(ot.transformIndex(index, operation, true)).toBe(after);
  });

  test.each(vectors.selection)('a selection: $name', ({ start, end, operation, result }) => {
    expect(ot.transformSelection(start, end, operation)).toEqual(result);
  });

  test.each(vectors.diff)('a diff: $name', ({ before, after, operation }) => {
    expect(ot.diff(before, after)).toEqual(operation);
  });
});

describe('the laws', () => {
  test('whoever comes first, the text is the same', () => {
    fc.assert(
      fc.property(concurrent(2), fc.boolean(), ([text, one, other], left) => {
        const [oneAfter, otherAfter] = ot.cross(one, other, left);
        expect(ot.canonical(oneAfter)).toEqual(oneAfter);
        const after = ot.apply(ot.apply(text, one), otherAfter);
        expect(after).toBe(ot.apply(ot.apply(text, other), oneAfter));
        ot.whole(after);
      }),
      { numRuns: 2000 },
    );
  });

  test('a composition does what both do', () => {
    fc.assert(
      fc.property(following(2), ([text, first, second]) => {
        const both = ot.compose(first, second);
        expect(ot.canonical(both)).toEqual(both);
        expect(ot.apply(text, both)).toBe(ot.apply(ot.apply(text, first), second));
      }),
      { numRuns: 2000 },
    );
  });

  test('it does not matter which two are composed first', () => {
    fc.assert(
      fc.property(following(3), ([, a, b, c]) => {
        const left = ot.compose(ot.compose(a, b), c);
        expect(left).toEqual(ot.compose(a, ot.compose(b, c)));
      }),
    );
  });

  test('an inverse takes back', () => {
    fc.assert(
      fc.property(concurrent(1), ([text, operation]) => {
        const back = ot.invert(operation, text);
        expect(ot.canonical(back)).toEqual(back);
        expect(ot.apply(ot.apply(text, operation), back)).toBe(text);
      }),
    );
  });

  test('what is sent comes back as it was', () => {
    fc.assert(
      fc.property(concurrent(1), ([, operation]) => {
        expect(ot.fromWire(JSON.parse(JSON.stringify(ot.toWire(operation))))).toEqual(operation);
      }),
    );
  });

  test('a diff leads from one text to the other and cuts no character', () => {
    fc.assert(
      fc.property(texts, texts, texts, texts, (head, before, after, tail) => {
        const [one, other] = [head + before + tail, head + after + tail];
        const operation = ot.diff(one, other);
        ot.check(one, operation);
        expect(ot.apply(one, operation)).toBe(other);
        expect(ot.canonical(operation)).toEqual(operation);
      }),
      { numRuns: 2000 },
    );
  });

  test('a cursor is where an insert that goes to the right of all others would be', () => {
    fc.assert(
      fc.property(concurrent(1), fc.nat(), ([text, operation], anywhere) => {
        const index = anywhere % (text.length + 1);
        const after = ot.transformIndex(index, operation, true);
        expect(ot.transformIndex(index, operation)).toBeLessThanOrEqual(after);
        const moved = ot.transform(ot.insertion(index, '|'), operation, false);
        expect(moved).toEqual(ot.insertion(after, '|'));
      }),
    );
  });

  test('parts of any kind make a canonical operation', () => {
    const part = fc.oneof(fc.integer({ min: -3, max: 3 }), fc.constantFrom('', 'a', 'bc'));
    fc.assert(
      fc.property(fc.array(part), (parts: Component[]) => {
        const operation = ot.canonical(parts);
        expect(ot.canonical(operation)).toEqual(operation);
        expect(operation.every(Boolean)).toBe(true);
      }),
    );
  });
});

test.each([
  ['a🎸', [4, 'x']],
  ['a🎸', [-4]],
  ['a🎸', [2, 'x']],
  ['a🎸', [1, -1]],
  ['a', ['\ud83c']],
])('%j cannot be edited by %j', (text, operation) => {
  expect(() => {
    ot.check(text, operation);
  }).toThrow(ot.OperationError);
});

test('operations are transformed past others one by one', () => {
  // What was put in at one place and then left over at another: the composition forgets which.
  const history: Operation[] = [[1, 'x'], [-1]];
  const oneByOne = history.reduce<Operation>(
    (mine, other) => ot.transform(mine, other, false),
    ['m'],
  );
  const atOnce = ot.transform(['m'], history.reduce(ot.compose), false);
  expect([oneByOne, atOnce]).toEqual([['m'], [1, 'm']]);
});
