/** The song as it is written: ChordPro, with the cursors of all. */
import { defaultKeymap } from '@codemirror/commands';
import { EditorState } from '@codemirror/state';
import {
  drawSelection,
  EditorView,
  highlightActiveLine,
  highlightSpecialChars,
  keymap,
  placeholder,
} from '@codemirror/view';
import { useEffect, useRef } from 'react';
import { chordPro, songDocument } from '../src/editors/codemirror';
import type { Song } from '../src/types';

const NONCE = document.querySelector<HTMLElement>('[nonce]')?.nonce ?? '';

const surroundings = [
  EditorView.cspNonce.of(NONCE),
  EditorView.lineWrapping,
  EditorView.contentAttributes.of({
    'aria-label': 'Song, in ChordPro',
    autocapitalize: 'sentences',
    spellcheck: 'false',
  }),
  EditorState.tabSize.of(4),
  highlightSpecialChars(),
  highlightActiveLine(),
  drawSelection(),
  keymap.of(defaultKeymap),
  placeholder('Write here. Chords go in brackets: [G]Hello, [D]world'),
  chordPro(),
];

interface EditorProps {
  readonly song: Song;
  /** Told of the editor when it is there, and of null when it is gone. */
  readonly onView: (view: EditorView | null) => void;
}

export function Editor({ song, onView }: EditorProps) {
  const parent = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (!parent.current) {
      return undefined;
    }
    const view = new EditorView({
      parent: parent.current,
      extensions: [surroundings, songDocument(song)],
    });
    onView(view);
    return () => {
      onView(null);
      view.destroy();
    };
  }, [song, onView]);
  return <div className="editor" ref={parent} data-testid="editor" />;
}

/** Put a text where the cursor is, around what is selected: `$` stands for that. */
export function insert(view: EditorView, pattern: string): void {
  const [before = '', after = ''] = pattern.split('$');
  const { from, to } = view.state.selection.main;
  const isBlock = before.endsWith('\n');
  const line = view.state.doc.lineAt(from);
  const start = isBlock && line.text.trim() !== '' ? `\n${before}` : before;
  const selected = view.state.sliceDoc(from, to);
  view.dispatch({
    changes: { from, to, insert: `${start}${selected}${after}` },
    selection: { anchor: from + start.length, head: from + start.length + selected.length },
    scrollIntoView: true,
    userEvent: 'input',
  });
  view.focus();
}

/** Have a place of the song in view. */
export function reveal(view: EditorView, offset: number): void {
  const place = Math.min(offset, view.state.doc.length);
  view.dispatch({ effects: EditorView.scrollIntoView(place, { y: 'center' }) });
}
