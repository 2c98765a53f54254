/** A song in a plain `<textarea>`. */
import { canonical, transformSelection } from '../ot';
import type { Component, Song, TextChange, Unsubscribe } from '../types';
import { Binding, canEdit, type Editor } from './binding';
import { endOf, type Change } from './lineEnds';

class TextArea implements Editor {
  #shown: string;
  readonly #binding: Binding;
  readonly #wasReadOnly: boolean;
  readonly #unlisten: Unsubscribe[] = [];

  constructor(
    private readonly element: HTMLTextAreaElement,
    private readonly song: Song,
  ) {
    this.#shown = element.value;
    this.#wasReadOnly = element.readOnly;
    this.#binding = new Binding(song, this, this.#shown);
    this.refresh();
    const on = (type: string, listener: (event: Event) => void, target: EventTarget = element) => {
      target.addEventListener(type, listener);
      this.#unlisten.push(() => {
        target.removeEventListener(type, listener);
      });
    };
    on('input', this.#typed);
    on('compositionstart', () => {
      this.#binding.compositionBegan();
    });
    on('compositionend', () => {
      this.#typed();
      this.#binding.compositionEnded();
    });
    on('keydown', this.#pressed as (event: Event) => void);
    on('beforeinput', this.#asked as (event: Event) => void);
    // Most browsers tell of the selection of a text field at the document only.
    on('selectionchange', this.#moved, element.ownerDocument);
    on('focus', this.#moved);
    on('select', this.#moved);
  }

  apply(changes: readonly Change[], origin: TextChange['origin']): void {
    const { element } = this;
    const { selectionStart, selectionEnd, selectionDirection, scrollTop, scrollLeft } = element;
    for (const { from, to, insert } of [...changes].reverse()) {
      element.setRangeText(insert, from, to, 'preserve');
    }
    this.#shown = element.value;
    if (this.#isFocused) {
      const [start, end] =
        origin === 'undo' || origin === 'redo'
          ? [endOf(changes), endOf(changes)]
          : selectionAfter(changes, selectionStart, selectionEnd);
      element.setSelectionRange(start, end, selectionDirection);
    }
    element.scrollTop = scrollTop;
    element.scrollLeft = scrollLeft;
  }

  refresh(): void {
    this.element.readOnly = this.#wasReadOnly || !canEdit(this.song.getSnapshot());
  }

  close(): void {
    this.#unlisten.forEach((unlisten) => {
      unlisten();
    });
    this.#binding.close();
    this.element.readOnly = this.#wasReadOnly;
  }

  get #isFocused(): boolean {
    const root = this.element.getRootNode() as Document | ShadowRoot;
    return root.activeElement === this.element;
  }

  readonly #typed = () => {
    const { value, selectionEnd } = this.element;
    const change = changeBetween(this.#shown, value, selectionEnd);
    this.#shown = value;
    if (change) {
      this.#binding.edited([change]);
    }
    this.#moved();
  };

  readonly #pressed = (event: KeyboardEvent) => {
    if (!(event.ctrlKey || event.metaKey) || event.altKey || event.isComposing) {
      return;
    }
    const key = event.key.toLowerCase();
    if (key === 'z' || (key === 'y' && !event.shiftKey)) {
      event.preventDefault();
      this.#step(key === 'y' || event.shiftKey);
    }
  };

  /** Undo and redo from a menu, or by a shake. */
  readonly #asked = (event: InputEvent) => {
    if (event.inputType === 'historyUndo' || event.inputType === 'historyRedo') {
      event.preventDefault();
      this.#step(event.inputType === 'historyRedo');
    }
  };

  #step(forward: boolean): void {
    if (!this.element.readOnly) {
      if (forward) {
        this.song.redo();
      } else {
        this.song.undo();
      }
    }
  }

  readonly #moved = () => {
    if (this.#isFocused) {
      const { selectionStart, selectionEnd, selectionDirection } = this.element;
      if (selectionDirection === 'backward') {
        this.#binding.moved(selectionEnd, selectionStart);
      } else {
        this.#binding.moved(selectionStart, selectionEnd);
      }
    }
  };
}

/**
 * What was changed, when the cursor is at its end: of `aa` made `aaa` the place is known by it.
 *
 * What comes after the cursor was not touched, whatever it looks like.
 */
export function changeBetween(before: string, after: string, cursor: number): Change | null {
  const mostAlike = Math.min(before.length, after.length);
  let tail = 0;
  while (
    tail < Math.min(mostAlike, after.length - cursor) &&
    before[before.length - 1 - tail] === after[after.length - 1 - tail]
  ) {
    tail += 1;
  }
  let head = 0;
  while (head < mostAlike - tail && before[head] === after[head]) {
    head += 1;
  }
  // A cursor that is not where the change is must not make the change larger.
  while (
    tail < mostAlike - head &&
    before[before.length - 1 - tail] === after[after.length - 1 - tail]
  ) {
    tail += 1;
  }
  const change = {
    from: head,
    to: before.length - tail,
    insert: after.slice(head, after.length - tail),
  };
  return change.from === change.to && change.insert === '' ? null : change;
}

function selectionAfter(changes: readonly Change[], start: number, end: number): [number, number] {
  const parts: Component[] = [];
  let at = 0;
  for (const { from, to, insert } of changes) {
    parts.push(from - at, insert, from - to);
    at = to;
  }
  return transformSelection(start, end, canonical(parts));
}

/** Binds a text field to a song, until it is told to let go. The song stays open. */
export function bindTextarea(element: HTMLTextAreaElement, song: Song): Unsubscribe {
  const bound = new TextArea(element, song);
  return () => {
    bound.close();
  };
}
