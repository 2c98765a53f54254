import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LineEnds, type Change } from '../../src/editors/lineEnds';
import { apply, canonical } from '../../src/ot';
import type { Component } from '../../src/types';

const songText = fc
  .array(fc.constantFrom('a', '\r', '\n', '\r\n', '😀', '♭'), { maxLength: 12 })
  .map((parts) => parts.join(''));
const shownText = songText.map((text) => text.replace(/\r\n?/g, '\n'));

function shown(text: string): string {
  return text.replace(/\r\n?/g, '\n');
}

function changed(text: string, changes: readonly Change[]): string {
  return [...changes]
    .reverse()
    .reduce((now, { from, to, insert }) => now.slice(0, from) + insert + now.slice(to), text);
}

/** Operations that cut what they like, but no character. */
function operationOn(text: string, choices: readonly (readonly [number, string])[]): Component[] {
  const characters = Array.from(text);
  const parts: Component[] = [];
  for (const [kind, insert] of choices) {
    const length = characters.splice(0, 1 + (kind % 3)).join('').length;
    parts.push(kind % 2 ? -length : length, insert);
  }
  return parts;
}

describe('line ends', () => {
  it('are one unit in an editor, and places are found again', () => {
    const lines = new LineEnds('a\r\nb\r\nc');
    expect(lines.shown).toBe('a\nb\nc');
    expect([0, 1, 2, 3, 4, 5].map((place) => lines.inSong(place))).toEqual([0, 1, 3, 4, 6, 7]);
    expect([0, 1, 2, 3, 4, 5, 6, 7].map((place) => lines.inEditor(place))).toEqual([
      0, 1, 1, 2, 3, 3, 4, 5,
    ]);
  });

  it('that are typed are those of the song', () => {
    const lines = new LineEnds('a\r\nb');
    expect(lines.operation([{ from: 3, to: 3, insert: '\nc' }])).toEqual([4, '\r\nc']);
    expect(lines.operation([{ from: 1, to: 2, insert: '' }])).toEqual([1, -2]);
  });

  it('come to nothing in an editor when only their kind changes', () => {
    const [before, after] = [new LineEnds('a\r\nb'), new LineEnds('a\nb')];
    const changes = before.changes([1, -1], after);
    expect(changed(before.shown, changes)).toBe(after.shown);
  });

  it('an editor never cuts a character of the song', () => {
    expect(new LineEnds('x😀').operation([{ from: 2, to: 3, insert: '\uDE01' }])).toEqual([
      1,
      '😁',
      -2,
    ]);
  });

  it('what is edited in an editor is shown as it was edited', () => {
    fc.assert(
      fc.property(songText, fc.nat(), fc.nat(), shownText, (text, one, other, insert) => {
        const lines = new LineEnds(text);
        const places = [...boundaries(lines.shown)];
        const pick = (at: number) => places[at % places.length] ?? 0;
        const [from, to] = [Math.min(pick(one), pick(other)), Math.max(pick(one), pick(other))];
        const operation = lines.operation([{ from, to, insert }]);
        expect(shown(apply(text, operation))).toBe(changed(lines.shown, [{ from, to, insert }]));
      }),
      { numRuns: 2000 },
    );
  });

  it('what is edited in a song is shown as a song is shown', () => {
    const choices = fc.array(fc.tuple(fc.nat({ max: 5 }), songText), { maxLength: 5 });
    fc.assert(
      fc.property(songText, choices, (text, some) => {
        const operation = canonical(operationOn(text, some));
        const before = new LineEnds(text);
        const after = new LineEnds(apply(text, operation));
        const changes = before.changes(operation, after);
        expect(changed(before.shown, changes)).toBe(after.shown);
        changes.slice(1).forEach((change, nth) => {
          expect(change.from).toBeGreaterThan(changes[nth]?.to ?? 0);
        });
      }),
      { numRuns: 5000 },
    );
  });
});

function* boundaries(text: string): Generator<number> {
  let at = 0;
  for (const character of text) {
    yield at;
    at += character.length;
  }
  yield at;
}
