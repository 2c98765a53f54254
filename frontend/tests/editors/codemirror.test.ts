// @vitest-environment happy-dom
import { history, historyKeymap, undoDepth } from '@codemirror/commands';
import { ensureSyntaxTree, syntaxHighlighting } from '@codemirror/language';
import { EditorState } from '@codemirror/state';
import { EditorView, keymap, runScopeHandlers } from '@codemirror/view';
import { highlightTree } from '@lezer/highlight';
import { afterEach, describe, expect, it, vi } from 'vitest';
import {
  chordPro,
  chordProHighlighting,
  chordProLanguage,
  songDocument,
} from '../../src/editors/codemirror';
import { remoteCursors } from '../../src/editors/remoteCursors';
import { cursorOf, MemorySong } from '../memorySong';

const views: EditorView[] = [];

async function bound(song: MemorySong, doc = song.text) {
  const view = new EditorView({
    state: EditorState.create({
      doc,
      extensions: [keymap.of(historyKeymap), history(), songDocument(song), chordPro()],
    }),
    parent: document.body,
  });
  views.push(view);
  await Promise.resolve();
  return view;
}

function type(view: EditorView, insert: string, from: number, to = from) {
  view.dispatch({ changes: { from, to, insert }, selection: { anchor: from + insert.length } });
}

function press(view: EditorView, key: string, rest: KeyboardEventInit = {}) {
  const event = new KeyboardEvent('keydown', { key, keyCode: 90, ctrlKey: true, ...rest });
  return runScopeHandlers(view, event, 'editor');
}

function textOf(view: EditorView) {
  return view.state.doc.toString();
}

afterEach(() => {
  views.splice(0).forEach((view) => {
    view.destroy();
  });
  vi.useRealTimers();
});

describe('an editor bound to a song', () => {
  it('gives what is typed to the song, and shows what others type, without an echo', async () => {
    const song = new MemorySong('[C]la');
    const view = await bound(song);
    type(view, ' la', 5);
    expect(song.text).toBe('[C]la la');
    song.remote([1, 'G', -1]);
    expect(textOf(view)).toBe('[G]la la');
    expect(song.edits).toEqual([[5, ' la']]);
  });

  it('gives an edit in several places to the song as one', async () => {
    const song = new MemorySong('[C]a [C]b');
    const view = await bound(song);
    view.dispatch({
      changes: [
        { from: 1, to: 2, insert: 'D' },
        { from: 6, to: 7, insert: 'D' },
      ],
    });
    expect(song.edits).toEqual([[1, 'D', -1, 4, 'D', -1]]);
  });

  it('keeps its cursor where it was in the text', async () => {
    const song = new MemorySong('abc');
    const view = await bound(song);
    view.dispatch({ selection: { anchor: 2 } });
    song.remote(['XX']);
    expect(view.state.selection.main.head).toBe(4);
  });

  it('shows the song, whatever it was made with', async () => {
    const song = new MemorySong('the song');
    const view = await bound(song, 'a draft');
    expect(textOf(view)).toBe('the song');
    expect(song.edits).toEqual([]);
  });

  it('undoes own edits only, by the usual keys, and goes where they were', async () => {
    const song = new MemorySong('ab');
    const view = await bound(song);
    type(view, 'X', 1);
    song.remote(['> ']);
    expect(press(view, 'z')).toBe(true);
    expect(textOf(view)).toBe('> ab');
    expect(press(view, 'y', { keyCode: 89 })).toBe(true);
    expect(textOf(view)).toBe('> aXb');
    expect(view.state.selection.main.head).toBe(4);
    expect(press(view, 'z')).toBe(true);
    expect(press(view, 'z')).toBe(true); // nothing is left, and nobody else undoes it
    expect(press(view, 'Z', { shiftKey: true })).toBe(true);
    expect(textOf(view)).toBe('> aXb');
  });

  it('what comes from others is nothing that another history would undo', async () => {
    const song = new MemorySong('ab');
    const view = await bound(song);
    song.remote([1, 'X']);
    expect(undoDepth(view.state)).toBe(0);
  });

  it('cannot be written by who may only read, by no command, and follows the others', async () => {
    const song = new MemorySong('ab', { permission: 'read' });
    const view = await bound(song);
    expect(view.state.readOnly).toBe(true);
    type(view, 'X', 1);
    expect(textOf(view)).toBe('ab');
    song.remote([2, 'c']);
    expect(textOf(view)).toBe('abc');
    song.set({ permission: 'edit' });
    await Promise.resolve();
    expect(view.state.readOnly).toBe(false);
    type(view, 'X', 1);
    expect(song.text).toBe('aXbc');
  });

  it('holds back what others type while a character is composed, and loses neither', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const song = new MemorySong('ab');
    const view = await bound(song);
    view.contentDOM.dispatchEvent(new CompositionEvent('compositionstart'));
    type(view, 'に', 1);
    song.remote(['XX']);
    type(view, '日本', 1, 2);
    expect(textOf(view)).toBe('a日本b');
    expect(song.text).toBe('XXa日本b');
    view.contentDOM.dispatchEvent(new CompositionEvent('compositionend'));
    vi.advanceTimersByTime(100);
    expect(textOf(view)).toBe('XXa日本b');
  });

  it('keeps the line ends of the song', async () => {
    const song = new MemorySong('a\r\nb');
    const view = await bound(song);
    type(view, 'x\ny', 3);
    expect(song.text).toBe('a\r\nbx\r\ny');
    song.remote([3, '!']);
    expect(textOf(view)).toBe('a\n!bx\ny');
  });

  it('has the cursors of the others, which move with the text', async () => {
    const song = new MemorySong('abcdef', {
      cursors: [cursorOf('Ada', 3), cursorOf('Bo', 6, { selection: [2, 6] })],
    });
    const view = await bound(song);
    type(view, 'XX', 1);
    const offsets = view.state.field(remoteCursors).map(({ offset }) => offset);
    expect(offsets).toEqual([5, 8]);
    expect(view.state.field(remoteCursors)[1]?.selection).toEqual([4, 8]);
    song.set({ cursors: [] });
    await Promise.resolve();
    expect(view.state.field(remoteCursors)).toEqual([]);
  });

  it('tells where its own cursor is', async () => {
    const song = new MemorySong('a\r\nbc');
    const view = await bound(song);
    // happy-dom tells of a selection while it is set, which no browser does.
    vi.spyOn(view, 'hasFocus', 'get').mockReturnValue(true);
    view.dispatch({ selection: { anchor: 3, head: 1 } });
    expect(song.cursor).toEqual({ offset: 1, selection: [1, 4] });
  });

  it('two editors of one song show the same, and a closed one is left alone', async () => {
    const song = new MemorySong('ab');
    const [one, other] = [await bound(song), await bound(song)];
    type(one, 'X', 1);
    type(other, 'Y', 3);
    expect([textOf(one), textOf(other)]).toEqual(['aXbY', 'aXbY']);
    other.destroy();
    type(one, 'Z', 0);
    expect(song.text).toBe('ZaXbY');
  });
});

describe('ChordPro', () => {
  function told(text: string) {
    const state = EditorState.create({ doc: text, extensions: [chordProLanguage] });
    const tree = ensureSyntaxTree(state, text.length, 1000);
    const found: string[] = [];
    if (tree) {
      highlightTree(tree, chordProHighlighting, (from, to, kind) => {
        found.push(`${kind.replace('cm-chordpro-', '')} ${text.slice(from, to)}`);
      });
    }
    return found;
  }

  it.each([
    ['la [C]la [F#m7/C#]la [B♭]', ['chord [C]', 'chord [F#m7/C#]', 'chord [B♭]']],
    ['[*softly] [Verse 1]', ['annotation [*softly]', 'annotation [Verse 1]']],
    ['{title: A song}', ['directive {title:', 'value  A song', 'directive }']],
    ['{start_of_chorus}', ['section {start_of_chorus', 'directive }']],
    ['# a remark [C]', ['remark # a remark [C]']],
    ['[C la', ['unfinished [']],
    ['{title: A', ['unfinished {title', 'directive :', 'value  A']],
    ['{sot}\ne|--[3]--\n{eot}\n[C]', ['section {sot', 'directive }', 'verbatim e|--[3]--']],
  ])('%j', (text, expected) => {
    expect(told(text).slice(0, expected.length)).toEqual(expected);
  });

  it('ends a tablature', () => {
    expect(told('{sot}\ne|-3-\n{eot}\n[C]').at(-1)).toBe('chord [C]');
  });

  it('never stands still, whatever is written', () => {
    for (const text of [
      '{',
      '}',
      '{}',
      '{a:{b}}',
      '[[',
      ']',
      '{title',
      '{ title : x } y',
      '[\n]',
    ]) {
      expect(told(text)).toBeInstanceOf(Array);
    }
    expect(syntaxHighlighting(chordProHighlighting)).toBeDefined();
  });
});
