import type { EditorView } from '@codemirror/view';
import { Editor, insert } from './Editor';
import { Icon } from './icons';
import { STARTER } from './songs';
import type { DemoSong } from './useDemo';
import { ProgressLine } from './ProgressLine';

const INSERTIONS = [
  { label: 'Chord', shown: '[ ]', pattern: '[$]' },
  { label: 'Verse', shown: 'Verse', pattern: '{start_of_verse}\n$\n{end_of_verse}\n' },
  { label: 'Chorus', shown: 'Chorus', pattern: '{start_of_chorus}\n$\n{end_of_chorus}\n' },
] as const;

interface WritePaneProps {
  readonly document: DemoSong;
  readonly isOnline: boolean;
  readonly view: EditorView | null;
  readonly onView: (view: EditorView | null) => void;
}

/** The editor, and what one does with it. */
export function WritePane({ document, isOnline, view, onView }: WritePaneProps) {
  const { song, state, text, permission, canUndo, canRedo, undo, redo } = document;
  const mayEdit = permission !== 'read' && (state === 'live' || state === 'offline');
  return (
    <section className="pane write-pane" aria-label="Write">
      <div className="toolbar" role="toolbar" aria-label="Editing">
        <button
          type="button"
          className="tool"
          disabled={!canUndo}
          onClick={undo}
          title="Undo what you did"
        >
          <Icon name="undo" />
          <span className="unseen">Undo</span>
        </button>
        <button
          type="button"
          className="tool"
          disabled={!canRedo}
          onClick={redo}
          title="Redo what you did"
        >
          <Icon name="redo" />
          <span className="unseen">Redo</span>
        </button>
        <span className="divider" />
        {INSERTIONS.map(({ label, shown, pattern }) => (
          <button
            key={label}
            type="button"
            className="tool worded"
            disabled={!mayEdit || !view}
            aria-label={`Insert a ${label.toLowerCase()}`}
            onClick={() => {
              if (view) {
                insert(view, pattern);
              }
            }}
          >
            {shown}
          </button>
        ))}
        <ProgressLine document={document} isOnline={isOnline} />
      </div>
      {song && <Editor song={song} onView={onView} />}
      {mayEdit && text === '' && (
        <button
          type="button"
          className="button example"
          onClick={() => {
            document.setText(STARTER);
          }}
        >
          Begin with an example
        </button>
      )}
    </section>
  );
}
