import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { sheetOf, type SheetLine } from '../../demo/sheet';
import { STARTER } from '../../demo/songs';

/** A line as two lines of text, with a bar where it may be broken. */
function drawn(line: SheetLine | undefined): string {
  if (line?.kind !== 'lyrics') {
    return line ? `${line.kind}: ${line.text}` : '';
  }
  return line.words
    .map((word) =>
      word
        .map(({ chord, annotation, lyrics }) => `<${chord || annotation}>${lyrics}`)
        .join('')
        .replace(/<>/g, ''),
    )
    .join('|');
}

const linesOf = (text: string) => sheetOf(text).sections.flatMap(({ lines }) => lines.map(drawn));

describe('a sheet', () => {
  test('has what the song says of itself', () => {
    const sheet = sheetOf(
      '{title: La}\n{subtitle: Di}\n{artist: A}\n{artist: B}\n{key: G}\n{capo: 2}\n{tempo: 92}\n{time: 3/4}\n',
    );
    expect(sheet).toMatchObject({ title: 'La', subtitle: 'Di', artist: 'A, B', key: 'G' });
    expect(sheet.facts).toEqual(['Capo 2', '92 bpm', '3/4']);
    expect(sheet.sections).toEqual([]);
  });

  test('has chords over the lyrics that begin there, and breaks no word', () => {
    expect(linesOf('[G]Half a [Em7]tune, un[D]latch[A]ed [*softly]la')).toEqual([
      '<G>Half |a |<Em7>tune, |un<D>latch<A>ed |<softly>la',
    ]);
    expect(linesOf('[C][D]')).toEqual(['<C>|<D>']);
    expect(linesOf('[Qx]la [|] di')[0]).toContain('<Qx>la ');
  });

  test('has sections with their kinds and labels', () => {
    const sheet = sheetOf(
      '{sov: Verse 1}\nla\n\nla\n{eov}\n{soc}\ndi\n{eoc}\nalone\n\nagain\n{chorus}\n{sot}\ne|--0--|\n{eot}\n{c: slow}',
    );
    expect(sheet.sections.map(({ kind, label, lines }) => [kind, label, lines.length])).toEqual([
      ['verse', 'Verse 1', 2],
      ['chorus', 'Chorus', 1],
      ['', '', 1],
      ['', '', 1],
      ['repeat', 'Chorus', 0],
      ['tab', 'Tab', 1],
      ['', '', 1],
    ]);
    expect(sheet.sections.slice(-2).map(({ lines }) => drawn(lines[0]))).toEqual([
      'verbatim: e|--0--|',
      'comment: slow',
    ]);
  });

  test('can be in another key, unless its own is none', () => {
    const up = sheetOf('{key: G}\n[G]la [D/F#]di', 2);
    expect(up.key).toBe('A');
    expect(up.sections[0]?.lines.map(drawn)).toEqual(['<A>la |<E/G#>di']);
    expect(sheetOf('{key: foo}\n[G]la', 2).sections[0]?.lines.map(drawn)).toEqual(['<G>la']);
  });

  test('leaves out only the line that somebody is typing', () => {
    const sheet = sheetOf('{title: La}\n[G]one\ntwo [C\n{comment\n[D]three');
    expect(sheet.title).toBe('La');
    expect(sheet.unread).toEqual([3, 4]);
    expect(sheet.sections[0]?.lines.map(drawn).map((line) => line.replace(/\|/g, ''))).toEqual([
      '<G>one',
      'two  C',
      ' comment',
      '<D>three',
    ]);
  });

  test('of the first song is whole', () => {
    const sheet = sheetOf(STARTER);
    expect(sheet.unread).toEqual([]);
    expect(sheet.sections.map(({ label }) => label)).toEqual(['Verse 1', 'Chorus', 'Verse 2', '']);
  });

  test('is made of whatever is written', () => {
    const part = fc.constantFrom(
      ...['[G]', '[', ']', '{', '}', '{soc}', '{eoc}', '{sot}', '{eot}', '{key: H}', '{key: foo}'],
      ...['%', '%{', '|', '\\', '\n', '\r\n', 'la ', '[*x]', '{chorus}', '{c:}', '{define: G}'],
      ...['#', '[Em/]', '\u2028', '{capo: x}', '{new_key: D}', '{sov: label="', '{start_of_grid}'],
    );
    const step = fc.integer({ min: -11, max: 11 });
    fc.assert(
      fc.property(fc.array(part, { maxLength: 12 }), step, (parts, steps) => {
        expect(sheetOf(parts.join(''), steps).sections).toBeInstanceOf(Array);
      }),
      { numRuns: 200 },
    );
  });
});
