/** A song in CodeMirror 6: one text for all, their cursors, undo of one's own edits, colours. */
import { syntaxHighlighting } from '@codemirror/language';
import {
  Annotation,
  EditorState,
  Prec,
  StateEffect,
  StateField,
  Transaction,
  type Extension,
} from '@codemirror/state';
import {
  EditorView,
  keymap,
  ViewPlugin,
  type PluginValue,
  type ViewUpdate,
} from '@codemirror/view';
import type { Song, TextChange } from '../types';
import { Binding, canEdit, type Editor } from './binding';
import { chordProHighlighting, chordProLanguage, chordProTheme } from './chordpro';
import { endOf, type Change } from './lineEnds';
import { remoteCursorLayers, remoteCursors, setRemoteCursors } from './remoteCursors';

export { chordProHighlighting, chordProLanguage, chordProTags, chordProTheme } from './chordpro';

/** On every change that came from the song, and says why it came. */
export const fromSong = Annotation.define<TextChange['origin']>();

const setEditable = StateEffect.define<boolean>();

const editable = StateField.define<boolean>({
  create: () => false,
  update: (value, { effects }) =>
    effects.reduce((now, effect) => (effect.is(setEditable) ? effect.value : now), value),
  provide: (field) => EditorState.readOnly.from(field, (value) => !value),
});

/** Nobody changes what they may not, by whatever command. */
const guard = EditorState.changeFilter.of(
  (transaction) =>
    transaction.annotation(fromSong) !== undefined || transaction.startState.field(editable),
);

class SongPlugin implements PluginValue, Editor {
  readonly #binding: Binding;

  constructor(
    private readonly view: EditorView,
    song: Song,
  ) {
    this.#binding = new Binding(song, this, view.state.doc.toString());
    view.contentDOM.addEventListener('compositionstart', this.#compositionBegan);
    view.contentDOM.addEventListener('compositionend', this.#compositionEnded);
  }

  update(update: ViewUpdate): void {
    for (const transaction of update.transactions) {
      if (transaction.docChanged && transaction.annotation(fromSong) === undefined) {
        this.#binding.edited(changesOf(transaction));
      }
    }
    if (update.selectionSet || update.docChanged || update.focusChanged) {
      this.#tellPlace();
    }
  }

  apply(changes: readonly Change[], origin: TextChange['origin']): void {
    const isOwn = origin === 'undo' || origin === 'redo';
    this.view.dispatch({
      changes,
      ...(isOwn && { selection: { anchor: endOf(changes) }, scrollIntoView: true }),
      annotations: [
        fromSong.of(origin),
        Transaction.addToHistory.of(false),
        Transaction.remote.of(!isOwn),
      ],
    });
  }

  refresh(): void {
    const effects: StateEffect<unknown>[] = [];
    const mayEdit = canEdit(this.#binding.song.getSnapshot());
    if (mayEdit !== this.view.state.field(editable)) {
      effects.push(setEditable.of(mayEdit));
    }
    const cursors = this.#binding.remoteCursors();
    if (
      cursors &&
      JSON.stringify(cursors) !== JSON.stringify(this.view.state.field(remoteCursors))
    ) {
      effects.push(setRemoteCursors.of(cursors));
    }
    if (effects.length > 0) {
      this.view.dispatch({ effects });
    }
  }

  destroy(): void {
    this.#binding.close();
    this.view.contentDOM.removeEventListener('compositionstart', this.#compositionBegan);
    this.view.contentDOM.removeEventListener('compositionend', this.#compositionEnded);
  }

  readonly #compositionBegan = () => {
    this.#binding.compositionBegan();
  };

  /** CodeMirror takes in what was composed only after this event. */
  readonly #compositionEnded = () => {
    setTimeout(() => {
      if (!this.view.composing) {
        this.#binding.compositionEnded();
      }
    }, 60);
  };

  #tellPlace(): void {
    if (this.view.hasFocus) {
      const { anchor, head } = this.view.state.selection.main;
      this.#binding.moved(anchor, head);
    }
  }
}

function changesOf(transaction: Transaction): Change[] {
  const changes: Change[] = [];
  transaction.changes.iterChanges((from, to, _newFrom, _newTo, insert) => {
    changes.push({ from, to, insert: insert.toString() });
  });
  return changes;
}

function undoKeys(song: Song): Extension {
  const undo = () => song.undo() || true;
  const redo = () => song.redo() || true;
  const inputs = new Map([
    ['historyUndo', undo],
    ['historyRedo', redo],
  ]);
  return Prec.highest([
    keymap.of([
      { key: 'Mod-z', run: undo, preventDefault: true },
      { key: 'Mod-y', mac: 'Mod-Shift-z', run: redo, preventDefault: true },
      { key: 'Mod-Shift-z', run: redo, preventDefault: true },
    ]),
    EditorView.domEventHandlers({
      beforeinput: (event) => {
        const command = inputs.get(event.inputType);
        if (command) {
          event.preventDefault();
          command();
        }
        return command !== undefined;
      },
    }),
  ]);
}

/**
 * Binds an editor to a song, for as long as the extension is there.
 *
 * The song stays open when the editor is gone: who opened it closes it. Leave out CodeMirror's own
 * `history()`: the song knows whose edits are whose.
 */
export function songDocument(song: Song): Extension {
  return [
    editable,
    guard,
    ViewPlugin.define((view) => new SongPlugin(view, song)),
    undoKeys(song),
    remoteCursorLayers,
  ];
}

/** ChordPro, coloured. */
export function chordPro(): Extension {
  return [chordProLanguage, syntaxHighlighting(chordProHighlighting), chordProTheme];
}
