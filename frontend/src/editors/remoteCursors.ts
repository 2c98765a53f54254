/** The cursors and selections of the others, drawn over and under the text of CodeMirror. */
import { EditorSelection, StateEffect, StateField, type ChangeDesc } from '@codemirror/state';
import {
  EditorView,
  layer,
  RectangleMarker,
  type LayerMarker,
  type ViewUpdate,
} from '@codemirror/view';
import type { RemoteCursor } from '../types';

/** How long a name is shown after its cursor has moved. */
const NAME_SHOWN_MS = 2500;
const COLOR = /^#[0-9a-f]{6}$/i;

export const setRemoteCursors = StateEffect.define<readonly RemoteCursor[]>();

/** Where they are; they move with the text until the song says more. */
export const remoteCursors = StateField.define<readonly RemoteCursor[]>({
  create: () => [],
  update(cursors, transaction) {
    for (const effect of transaction.effects) {
      if (effect.is(setRemoteCursors)) {
        return effect.value;
      }
    }
    return transaction.docChanged ? cursors.map((one) => moved(one, transaction.changes)) : cursors;
  },
});

function moved(cursor: RemoteCursor, changes: ChangeDesc): RemoteCursor {
  const { offset, selection } = cursor;
  return {
    ...cursor,
    offset: offset === null ? null : changes.mapPos(within(offset, changes.length), -1),
    selection: selection && [
      changes.mapPos(within(selection[0], changes.length), 1),
      changes.mapPos(within(selection[1], changes.length), -1),
    ],
  };
}

function within(offset: number, length: number): number {
  return Math.max(0, Math.min(offset, length));
}

/** Where a cursor is drawn; one of which only line and column are known is put there. */
function place(view: EditorView, { offset, position }: RemoteCursor): number {
  const { doc } = view.state;
  if (offset !== null) {
    return within(offset, doc.length);
  }
  const line = doc.line(within(position.line, doc.lines - 1) + 1);
  return line.from + within(position.column, line.length);
}

/** Whether black or white is easier to read on a colour. */
function inkOn(color: string): string {
  const [red = 0, green = 0, blue = 0] = [1, 3, 5].map((at) =>
    parseInt(color.slice(at, at + 2), 16),
  );
  return red * 0.299 + green * 0.587 + blue * 0.114 > 150 ? '#000000' : '#ffffff';
}

function shownColor({ color }: RemoteCursor): string {
  return COLOR.test(color) ? color : '#808080';
}

class CursorMarker implements LayerMarker {
  constructor(
    private readonly cursor: RemoteCursor,
    private readonly rectangle: RectangleMarker,
    private readonly isAtTop: boolean,
  ) {}

  eq(other: LayerMarker): boolean {
    return (
      other instanceof CursorMarker &&
      other.rectangle.eq(this.rectangle) &&
      other.isAtTop === this.isAtTop &&
      other.cursor.clientId === this.cursor.clientId &&
      other.cursor.name === this.cursor.name &&
      other.cursor.color === this.cursor.color
    );
  }

  draw(): HTMLElement {
    const caret = document.createElement('div');
    const name = caret.appendChild(document.createElement('span'));
    name.className = 'cm-remoteName';
    this.#adjust(caret, name);
    return caret;
  }

  /** It is drawn anew, and its name shown, only when it was moved and not just pushed by the text. */
  update(caret: HTMLElement, old: LayerMarker): boolean {
    const name = caret.firstElementChild;
    if (
      !(old instanceof CursorMarker) ||
      old.cursor.clientId !== this.cursor.clientId ||
      old.cursor.position !== this.cursor.position ||
      !(name instanceof HTMLElement)
    ) {
      return false;
    }
    this.#adjust(caret, name);
    return true;
  }

  #adjust(caret: HTMLElement, name: HTMLElement): void {
    const color = shownColor(this.cursor);
    caret.className = `cm-remoteCursor${this.isAtTop ? ' cm-remoteCursor-top' : ''}`;
    caret.style.left = `${this.rectangle.left}px`;
    caret.style.top = `${this.rectangle.top}px`;
    caret.style.height = `${this.rectangle.height}px`;
    caret.style.setProperty('--cursor-color', color);
    caret.style.setProperty('--cursor-ink', inkOn(color));
    name.textContent = this.cursor.name;
  }
}

class SelectionMarker implements LayerMarker {
  constructor(
    private readonly color: string,
    private readonly rectangle: RectangleMarker,
  ) {}

  eq(other: LayerMarker): boolean {
    return (
      other instanceof SelectionMarker &&
      other.color === this.color &&
      other.rectangle.eq(this.rectangle)
    );
  }

  draw(): HTMLElement {
    const part = this.rectangle.draw();
    part.style.setProperty('--cursor-color', this.color);
    return part;
  }
}

function cursorMarkers(view: EditorView): CursorMarker[] {
  return view.state.field(remoteCursors).flatMap((cursor) => {
    const range = EditorSelection.cursor(place(view, cursor));
    return RectangleMarker.forRange(view, 'cm-remoteCursor', range).map(
      (rectangle) => new CursorMarker(cursor, rectangle, rectangle.top < view.defaultLineHeight),
    );
  });
}

function selectionMarkers(view: EditorView): SelectionMarker[] {
  const { length } = view.state.doc;
  return view.state.field(remoteCursors).flatMap((cursor) => {
    const [start, end] = (cursor.selection ?? [0, 0]).map((offset) => within(offset, length));
    if (start === undefined || end === undefined || start >= end) {
      return [];
    }
    const range = EditorSelection.range(start, end);
    return RectangleMarker.forRange(view, 'cm-remoteSelection', range).map(
      (rectangle) => new SelectionMarker(shownColor(cursor), rectangle),
    );
  });
}

function isStale(update: ViewUpdate): boolean {
  return (
    update.docChanged ||
    update.startState.field(remoteCursors) !== update.state.field(remoteCursors)
  );
}

const theme = EditorView.baseTheme({
  '.cm-remoteCursors': { pointerEvents: 'none' },
  '.cm-remoteCursor': {
    position: 'absolute',
    width: '0',
    marginLeft: '-1px',
    borderLeft: '2px solid var(--cursor-color)',
    transition: 'left 80ms ease-out, top 80ms ease-out',
  },
  '.cm-remoteName': {
    position: 'absolute',
    left: '-2px',
    bottom: '100%',
    padding: '0 5px',
    borderRadius: '4px 4px 4px 0',
    background: 'var(--cursor-color)',
    color: 'var(--cursor-ink)',
    font: '500 11px/16px system-ui, sans-serif',
    whiteSpace: 'nowrap',
    maxWidth: '16em',
    overflow: 'hidden',
    textOverflow: 'ellipsis',
    opacity: '0',
    animation: `cm-remoteName ${NAME_SHOWN_MS}ms ease-out`,
  },
  '.cm-remoteCursor-top .cm-remoteName': {
    bottom: 'auto',
    top: '100%',
    borderRadius: '0 4px 4px 4px',
  },
  '.cm-remoteSelection': {
    position: 'absolute',
    background: 'var(--cursor-color)',
    opacity: '0.25',
  },
  '@keyframes cm-remoteName': { '0%, 80%': { opacity: '1' }, '100%': { opacity: '0' } },
  '@media (prefers-reduced-motion: reduce)': { '.cm-remoteCursor': { transition: 'none' } },
});

/** Shows the cursors of the others; names are gone after a moment, the cursors stay. */
export const remoteCursorLayers = [
  remoteCursors,
  layer({
    above: true,
    class: 'cm-remoteCursors',
    update: isStale,
    markers: cursorMarkers,
  }),
  layer({
    above: false,
    class: 'cm-remoteSelections',
    update: isStale,
    markers: selectionMarkers,
  }),
  theme,
];
