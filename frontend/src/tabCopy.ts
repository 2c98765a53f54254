/** A song as this tab has it, with what the daemon does not have yet, over a refresh of the page. */

import type { SavedDocument } from './document';
import type { Permission } from './types';
import { isPermission } from './services/wire';

export type SessionStore = Pick<Storage, 'getItem' | 'setItem' | 'removeItem'>;

/** Writing takes time where a song is long: not with every key. */
const WRITE_AFTER_MS = 100;

/** The tab's own storage; null where there is none, or it is forbidden. */
export function sessionStore(): SessionStore | null {
  try {
    return (globalThis as Partial<typeof globalThis>).sessionStorage ?? null;
  } catch {
    return null;
  }
}

export interface SavedSong extends SavedDocument {
  /** As it was last known. */
  readonly permission: Permission | null;
}

/** What is open in this page; of two that are the same song, only the first is kept. */
const kept = new WeakMap<SessionStore, Set<string>>();

/** The copy of one song, for as long as it is open or has unsent edits. */
export class TabCopy {
  private readonly key: string;
  private readonly store: SessionStore | null;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private readonly flush = (): void => {
    this.write();
  };
  /** Where the copy cannot be kept, a person who goes is asked whether they mean it. */
  private readonly warn = (event: Event): void => {
    const saved = this.save();
    if (saved !== null && hasUnsent(saved) && !this.write()) event.preventDefault();
  };

  constructor(
    roomId: string,
    store: SessionStore | null,
    private readonly save: () => SavedSong | null,
  ) {
    this.key = `chordme.song.${roomId}`;
    const others = store === null ? null : (kept.get(store) ?? new Set());
    this.store = others?.has(this.key) === false ? store : null;
    if (this.store !== null && others !== null) kept.set(this.store, others.add(this.key));
    if (typeof window === 'undefined') return;
    window.addEventListener('beforeunload', this.warn);
    // A page that is left is told nothing later than this.
    window.addEventListener('pagehide', this.flush);
    document.addEventListener('visibilitychange', this.flush);
  }

  /** What the page before has left; null if nothing, or nothing that makes sense. */
  read(): SavedSong | null {
    try {
      const saved: unknown = JSON.parse(this.store?.getItem(this.key) ?? 'null');
      return isSaved(saved) ? saved : null;
    } catch {
      return null;
    }
  }

  /** The document has changed: that is written soon. */
  changed(): void {
    if (this.store !== null) this.timer ??= setTimeout(this.flush, WRITE_AFTER_MS);
  }

  /** Write it now. Whether the copy is there then; if it is not, there is not an old one either. */
  write(): boolean {
    clearTimeout(this.timer);
    this.timer = undefined;
    const saved = this.save();
    if (saved === null || this.store === null) return false;
    try {
      this.store.setItem(this.key, JSON.stringify(saved));
      return true;
    } catch {
      this.remove(); // full or forbidden: what is typed lives as long as the page
      return false;
    }
  }

  /** The song is closed: only what the daemon does not have is still of use. */
  close(): void {
    const saved = this.save();
    if (saved !== null && hasUnsent(saved)) this.write();
    else this.remove();
    clearTimeout(this.timer);
    if (this.store !== null) kept.get(this.store)?.delete(this.key);
    if (typeof window === 'undefined') return;
    window.removeEventListener('beforeunload', this.warn);
    window.removeEventListener('pagehide', this.flush);
    document.removeEventListener('visibilitychange', this.flush);
  }

  private remove(): void {
    try {
      this.store?.removeItem(this.key);
    } catch {
      // Forbidden: then nothing was ever put in.
    }
  }
}

function hasUnsent({ out, waiting }: SavedSong): boolean {
  return out !== null || waiting.length > 0;
}

function isSaved(value: unknown): value is SavedSong {
  if (typeof value !== 'object' || value === null) return false;
  const { clientId, revision, seq, synced, out, waiting, permission } = value as Partial<
    Record<keyof SavedSong, unknown>
  >;
  return (
    typeof clientId === 'string' &&
    [revision, seq].every((one) => Number.isSafeInteger(one) && (one as number) >= 0) &&
    typeof synced === 'string' &&
    (out === null || isOperation(out)) &&
    isOperation(waiting) &&
    (permission === null || isPermission(permission))
  );
}

function isOperation(value: unknown): boolean {
  const isPart = (part: unknown): boolean => typeof part === 'string' || Number.isSafeInteger(part);
  return Array.isArray(value) && value.every(isPart);
}
