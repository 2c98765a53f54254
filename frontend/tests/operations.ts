/** Texts, and operations on them that cut no character. */

import fc from 'fast-check';

import { apply, canonical } from '../src/ot';
import type { Component, Operation } from '../src/types';

const PIECES = ['a', 'b', ' ', '[Am]', '{', '\r\n', '\n', 'é', '♭', '\u0301', '😀', '😁', '🎸'];
export const texts = fc.string({ unit: fc.constantFrom(...PIECES), maxLength: 12 });

type Step = readonly [length: number, put: string, deletes: boolean];
const steps = fc.array(fc.tuple(fc.nat(5), fc.oneof(fc.constant(''), texts), fc.boolean()), {
  maxLength: 8,
});

/** A text, and operations on it. */
export function concurrent(count: 1): fc.Arbitrary<[string, Operation]>;
export function concurrent(count: 2): fc.Arbitrary<[string, Operation, Operation]>;
export function concurrent(count: number): fc.Arbitrary<[string, ...Operation[]]> {
  return fc
    .tuple(texts, fc.array(steps, { minLength: count, maxLength: count }))
    .map(([text, all]) => [text, ...all.map((one) => operation(text, one))]);
}

/** A text, and operations that follow each other. */
export function following(count: 2): fc.Arbitrary<[string, Operation, Operation]>;
export function following(count: 3): fc.Arbitrary<[string, Operation, Operation, Operation]>;
export function following(count: number): fc.Arbitrary<[string, ...Operation[]]> {
  return fc
    .tuple(texts, fc.array(steps, { minLength: count, maxLength: count }))
    .map(([text, all]) => {
      const made: Operation[] = [];
      let now = text;
      for (const one of all) {
        made.push(operation(now, one));
        now = apply(now, made[made.length - 1] ?? []);
      }
      return [text, ...made];
    });
}

function operation(text: string, all: readonly Step[]): Operation {
  const rest = Array.from(text);
  const parts: Component[] = [];
  for (const [length, put, deletes] of all) {
    const units = rest.splice(0, length).join('').length;
    parts.push(put, deletes ? -units : units);
  }
  return canonical(parts);
}
