import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { Binding } from '../../src/editors/binding';
import type { Change } from '../../src/editors/lineEnds';
import { canonical } from '../../src/ot';
import { MemorySong } from '../memorySong';

/** An editor that does what it is told. */
class PlainEditor {
  readonly binding: Binding;
  refreshed = 0;

  constructor(
    readonly song: MemorySong,
    public shown: string,
  ) {
    this.binding = new Binding(song, this, shown);
  }

  apply(changes: readonly Change[]): void {
    for (const { from, to, insert } of [...changes].reverse()) {
      this.shown = this.shown.slice(0, from) + insert + this.shown.slice(to);
    }
  }

  refresh(): void {
    this.refreshed += 1;
  }

  type(from: number, to: number, insert: string): void {
    this.apply([{ from, to, insert }]);
    this.binding.edited([{ from, to, insert }]);
  }
}

function shownOf(text: string): string {
  return text.replace(/\r\n?/g, '\n');
}

const words = fc
  .array(fc.constantFrom('a', 'b', '\n', '[C]', '♭'), { maxLength: 3 })
  .map((parts) => parts.join(''));
const step = fc.record({
  kind: fc.constantFrom('type', 'type', 'remote', 'remote', 'compose', 'end', 'undo'),
  at: fc.nat({ max: 30 }),
  length: fc.nat({ max: 3 }),
  insert: words,
  hasReturn: fc.boolean(),
});

describe('an editor and its song', () => {
  it('are the same at rest, however edits, others and compositions mix', async () => {
    const run = async (start: string, steps: { kind: string }[]) => {
      const song = new MemorySong(start);
      const editor = new PlainEditor(song, '');
      await Promise.resolve();
      for (const one of steps as (typeof step extends fc.Arbitrary<infer T> ? T : never)[]) {
        switch (one.kind) {
          case 'type': {
            const from = Math.min(one.at, editor.shown.length);
            const to = Math.min(from + one.length, editor.shown.length);
            editor.type(from, to, one.insert);
            break;
          }
          case 'remote': {
            const from = Math.min(one.at, song.text.length);
            const gone = Math.min(one.length, song.text.length - from);
            const insert = one.hasReturn ? one.insert.replace(/\n/g, '\r\n') : one.insert;
            song.remote(canonical([from, insert, -gone]));
            break;
          }
          case 'compose':
            editor.binding.compositionBegan();
            break;
          case 'end':
            editor.binding.compositionEnded();
            break;
          default:
            song.undo();
        }
        if (!editor.binding.isComposing) {
          expect(editor.shown).toBe(shownOf(song.text));
        }
      }
      editor.binding.compositionEnded();
      expect(editor.shown).toBe(shownOf(song.text));
      editor.binding.close();
    };
    const starts = fc.constantFrom('', 'one\ntwo', 'one\r\ntwo\r\n', 'a\rb\r\n');
    await fc.assert(fc.asyncProperty(starts, fc.array(step, { maxLength: 25 }), run), {
      numRuns: 2000,
    });
  });

  it('are the same too when somebody answers an edit with an edit', async () => {
    const song = new MemorySong('ab');
    const editor = new PlainEditor(song, 'ab');
    let answered = false;
    song.onChange(({ origin }) => {
      if (origin === 'local' && !answered) {
        answered = true;
        song.edit(['> ']);
      }
    });
    editor.type(1, 1, 'X');
    await Promise.resolve();
    expect(song.text).toBe('> aXb');
    expect(editor.shown).toBe('> aXb');
  });

  it('no character is ever cut in two: who tries gets back what was there', async () => {
    const song = new MemorySong('a😀b');
    const editor = new PlainEditor(song, 'a😀b');
    editor.type(2, 2, 'x');
    await Promise.resolve();
    expect([editor.shown, song.text, song.edits]).toEqual(['a😀b', 'a😀b', []]);
    editor.type(2, 3, '\uDE01'); // which only makes it another one
    expect([editor.shown, song.text]).toEqual(['a😁b', 'a😁b']);
  });

  it('a closed one is told nothing more', async () => {
    const song = new MemorySong('ab');
    const editor = new PlainEditor(song, 'ab');
    editor.binding.close();
    song.remote(['X']);
    await Promise.resolve();
    expect([editor.shown, editor.refreshed]).toEqual(['ab', 0]);
  });

  it('cursors of others are not shown at places of a text that is not shown', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const song = new MemorySong('ab');
    const editor = new PlainEditor(song, 'ab');
    await Promise.resolve();
    editor.binding.compositionBegan();
    editor.type(1, 1, 'x');
    song.remote(['> ']);
    expect(editor.binding.remoteCursors()).toBeNull();
    editor.binding.moved(2, 2);
    expect(song.cursor?.offset).toBe(4);
    editor.binding.compositionEnded();
    expect(editor.binding.remoteCursors()).toEqual([]);
    vi.useRealTimers();
  });
});
