/** A song without a daemon: what editors are bound to in their own tests. */
import { apply, diff, invert, transform } from '../src/ot';
import type {
  Operation,
  RemoteCursor,
  Song,
  SongSnapshot,
  TextChange,
  Unsubscribe,
} from '../src/types';

const EMPTY: SongSnapshot = {
  roomId: 'song',
  userId: 'me',
  wasJoined: true,
  state: 'live',
  text: '',
  revision: 0,
  unsent: 0,
  permission: 'edit',
  participants: [],
  cursors: [],
  messages: [],
  canUndo: false,
  canRedo: false,
  saveState: null,
  error: null,
};

export class MemorySong implements Song {
  readonly roomId = 'song';
  readonly edits: Operation[] = [];
  cursor: { offset: number; selection: readonly [number, number] | undefined } | null = null;
  #snapshot: SongSnapshot;
  #undo: Operation[] = [];
  #redo: Operation[] = [];
  readonly #listeners = new Set<() => void>();
  readonly #changeListeners = new Set<(change: TextChange) => void>();

  constructor(text: string, rest: Partial<SongSnapshot> = {}) {
    this.#snapshot = { ...EMPTY, ...rest, text };
  }

  get text(): string {
    return this.#snapshot.text;
  }

  getSnapshot(): SongSnapshot {
    return this.#snapshot;
  }

  subscribe(listener: () => void): Unsubscribe {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  onChange(listener: (change: TextChange) => void): Unsubscribe {
    this.#changeListeners.add(listener);
    return () => this.#changeListeners.delete(listener);
  }

  onConflict(): Unsubscribe {
    return () => undefined;
  }

  edit(operation: Operation): void {
    const inverse = invert(operation, this.text);
    this.#change(operation, 'local');
    this.edits.push(operation);
    this.#undo.push(inverse);
    this.#redo = [];
  }

  setText(text: string): void {
    this.edit(diff(this.text, text));
  }

  /** Somebody else edits. */
  remote(operation: Operation): void {
    const past = (own: Operation) => transform(own, operation, true);
    this.#undo = this.#undo.map(past);
    this.#redo = this.#redo.map(past);
    this.#change(operation, 'remote');
  }

  undo(): boolean {
    return this.#step(this.#undo, this.#redo, 'undo');
  }

  redo(): boolean {
    return this.#step(this.#redo, this.#undo, 'redo');
  }

  moveCursor(offset: number, selection?: readonly [number, number]): void {
    this.cursor = { offset, selection };
  }

  sendMessage(): Promise<void> {
    return Promise.resolve();
  }

  close(): void {
    this.#listeners.clear();
  }

  set(rest: Partial<SongSnapshot>): void {
    this.#snapshot = { ...this.#snapshot, ...rest };
    this.#listeners.forEach((listener) => {
      listener();
    });
  }

  #step(from: Operation[], to: Operation[], origin: 'undo' | 'redo'): boolean {
    const operation = from.pop();
    if (operation) {
      to.push(invert(operation, this.text));
      this.#change(operation, origin);
    }
    return operation !== undefined;
  }

  #change(operation: Operation, origin: TextChange['origin']): void {
    this.#snapshot = { ...this.#snapshot, text: apply(this.text, operation) };
    this.#changeListeners.forEach((listener) => {
      listener({ operation, origin });
    });
    this.set({});
  }
}

export function cursorOf(
  name: string,
  offset: number,
  rest: Partial<RemoteCursor> = {},
): RemoteCursor {
  return {
    clientId: name,
    userId: name,
    name,
    color: '#aa3366',
    offset,
    selection: null,
    position: { line: 0, column: 0 },
    ...rest,
  };
}
