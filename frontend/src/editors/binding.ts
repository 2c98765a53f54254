/**
 * Keeps an editor and a song the same, in both directions.
 *
 * - What a person types goes into the song at once. What comes from the song goes into the editor
 *   at once too, but for two cases: while the editor tells of an edit, and while somebody composes
 *   a character (an input method would lose it). What waits is an operation, from the text in the
 *   editor to the text of the song, and edits are transformed past it.
 * - A composition that has changed nothing yet holds nothing up (a phone begins one wherever the
 *   cursor is put), and one that rests does so no longer than RESTS_AFTER_MS.
 */
import { apply, compose, cross, diff, transformIndex } from '../ot';
import type {
  Operation,
  RemoteCursor,
  Song,
  SongSnapshot,
  TextChange,
  Unsubscribe,
} from '../types';
import { LineEnds, type Change } from './lineEnds';

const RESTS_AFTER_MS = 5000;

export interface Editor {
  /** Change the text shown, and do not tell of it. */
  apply(changes: readonly Change[], origin: TextChange['origin']): void;
  /** Something but the text is new: the cursors of others, or what one may do. */
  refresh(): void;
}

export class Binding {
  #lines: LineEnds;
  #waiting: Operation = [];
  #origin: TextChange['origin'] = 'reset';
  /** An edit of this editor is on its way into the song, which will tell of it. */
  #echoes = false;
  #busy = false;
  #due = false;
  #composition: 'none' | 'begun' | 'changed' = 'none';
  #rest: ReturnType<typeof setTimeout> | undefined;
  #closed = false;
  readonly #unsubscribes: readonly Unsubscribe[];

  /** Binds an editor that shows a text; it is given the song's as soon as it can take changes. */
  constructor(
    readonly song: Song,
    private readonly editor: Editor,
    shown: string,
  ) {
    this.#lines = new LineEnds(shown);
    this.#unsubscribes = [
      song.onChange((change) => {
        this.#changed(change);
      }),
      song.subscribe(() => {
        this.#later();
      }),
    ];
    this.#resync();
    this.#later();
  }

  get isComposing(): boolean {
    return this.#composition === 'changed';
  }

  /** The person has edited the text shown. */
  edited(changes: readonly Change[]): void {
    const operation = this.#lines.operation(changes);
    const [forSong, waiting] = cross(operation, this.#waiting, true);
    this.#waiting = waiting;
    this.#lines = new LineEnds(apply(this.#lines.text, operation));
    if (this.#composition !== 'none') {
      this.#composition = 'changed';
      this.#restLater();
    }
    this.#echoes = this.#busy = true;
    try {
      if (hasHalfCharacter(operation)) {
        throw new RangeError('There is half a character in it');
      }
      this.song.edit(forSong);
    } catch {
      this.#resync(); // the song does not take it: the editor gets back what was there
    } finally {
      this.#echoes = this.#busy = false;
    }
    this.#later();
  }

  compositionBegan(): void {
    this.compositionEnded(); // the one before, if nothing told of its end
    this.#composition = 'begun';
  }

  compositionEnded(): void {
    clearTimeout(this.#rest);
    this.#composition = 'none';
    this.#flush();
  }

  /** The person has moved their cursor in the text shown. */
  moved(anchor: number, head: number): void {
    const [from, to] = [Math.min(anchor, head), Math.max(anchor, head)];
    const selection = [this.#inSong(from, true), this.#inSong(to, false)] as const;
    const place = this.#inSong(head, false);
    this.song.moveCursor(place, from < to && selection[0] < selection[1] ? selection : undefined);
  }

  /** Where the cursors of others are in the text shown; null while the song is ahead of it. */
  remoteCursors(): RemoteCursor[] | null {
    if (this.#waiting.length > 0) {
      return null;
    }
    const shown = (offset: number) => this.#lines.inEditor(offset);
    return this.song.getSnapshot().cursors.map((cursor) => ({
      ...cursor,
      offset: cursor.offset === null ? null : shown(cursor.offset),
      selection: cursor.selection && [shown(cursor.selection[0]), shown(cursor.selection[1])],
    }));
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#rest);
    this.#unsubscribes.forEach((unsubscribe) => {
      unsubscribe();
    });
  }

  #changed({ operation, origin }: TextChange): void {
    if (this.#echoes && origin === 'local') {
      this.#echoes = false;
      return;
    }
    this.#waiting = compose(this.#waiting, operation);
    this.#origin = origin;
    if (!this.#busy) {
      this.#flush();
    }
  }

  /** Show what waits. */
  #flush(): void {
    if (this.#closed || this.isComposing || this.#waiting.length === 0) {
      return;
    }
    const before = this.#lines;
    const operation = this.#waiting;
    this.#lines = new LineEnds(apply(before.text, operation));
    this.#waiting = [];
    this.editor.apply(before.changes(operation, this.#lines), this.#origin);
  }

  /** Let the text shown become the song's, whatever it is. */
  #resync(): void {
    this.#waiting = diff(this.#lines.text, this.song.getSnapshot().text);
    this.#origin = 'reset';
  }

  #later(): void {
    if (this.#due) {
      return;
    }
    this.#due = true;
    void Promise.resolve().then(() => {
      this.#due = false;
      if (!this.#closed) {
        this.#flush();
        this.editor.refresh();
      }
    });
  }

  #restLater(): void {
    clearTimeout(this.#rest);
    this.#rest = setTimeout(() => {
      this.#composition = 'begun';
      this.#flush();
    }, RESTS_AFTER_MS);
  }

  #inSong(shown: number, after: boolean): number {
    return transformIndex(this.#lines.inSong(shown), this.#waiting, after);
  }
}

/** Whether edits are of use, as far as is known. */
export function canEdit({ state, permission }: SongSnapshot): boolean {
  return state !== 'loading' && state !== 'refused' && permission !== 'read';
}

/** Whether a surrogate stands alone in what is put in: no text can have that. */
function hasHalfCharacter(operation: Operation): boolean {
  return operation.some((part) => typeof part === 'string' && /\p{Surrogate}/u.test(part));
}
