/**
 * A song as this tab has it, with what the daemon does not have yet, over a refresh of the page.
 *
 * Each user of the tab has a copy of their own. Before it is known who is signed in, it is who was
 * signed in last.
 */

import type { SavedDocument } from './document';
import type { Permission, UserId } from './types';
import { isPermission } from './services/wire';

export type SessionStore = Pick<Storage, 'getItem' | 'setItem' | 'removeItem'>;

const LAST_USER = 'chordme.user_id';
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
  /** Whose copy it is, as text. */
  private owner: string | null;
  private readonly place: string;
  /** Copies that were to be put aside, and could not be kept. */
  private readonly aside = new Map<string, SavedSong>();
  private readonly store: SessionStore | null;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private readonly flush = (): void => {
    this.write();
  };
  /** Where the copy cannot be kept, a person who goes is asked whether they mean it. */
  private readonly warn = (event: Event): void => {
    const saved = this.save();
    const isLost = saved !== null && hasUnsent(saved) && !this.write();
    if (isLost || this.aside.size > 0) event.preventDefault();
  };

  constructor(
    roomId: string,
    userId: UserId | null,
    store: SessionStore | null,
    private readonly save: () => SavedSong | null,
  ) {
    this.place = `chordme.song.${roomId}`;
    const others = store === null ? null : (kept.get(store) ?? new Set());
    this.store = others?.has(this.place) === false ? store : null;
    if (this.store !== null && others !== null) kept.set(this.store, others.add(this.place));
    this.owner = userId === null ? lastUser(this.store) : this.note(userId);
    if (typeof window === 'undefined') return;
    window.addEventListener('beforeunload', this.warn);
    // A page that is left is told nothing later than this.
    window.addEventListener('pagehide', this.flush);
    document.addEventListener('visibilitychange', this.flush);
  }

  get userId(): string | null {
    return this.owner;
  }

  /** Put the copy aside for its owner, if anything of it is of use; it is another user's now. */
  handOver(userId: UserId): void {
    const saved = this.save();
    if (this.owner !== null && saved !== null && !this.settle()) this.aside.set(this.owner, saved);
    this.owner = this.note(userId);
  }

  /** What the page before has left; null if nothing, or nothing that makes sense. */
  read(): SavedSong | null {
    const aside = this.aside.get(this.owner ?? '');
    if (aside !== undefined) {
      this.aside.delete(this.owner ?? '');
      return aside;
    }
    try {
      const saved: unknown = JSON.parse(this.store?.getItem(this.key()) ?? 'null');
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
    if (saved === null || this.store === null || this.owner === null) return false;
    try {
      this.store.setItem(this.key(), JSON.stringify(saved));
      return true;
    } catch {
      this.remove(); // full or forbidden: what is typed lives as long as the page
      return false;
    }
  }

  /** The song is closed. */
  close(): void {
    this.settle();
    if (this.store !== null) kept.get(this.store)?.delete(this.place);
    if (typeof window === 'undefined') return;
    window.removeEventListener('beforeunload', this.warn);
    window.removeEventListener('pagehide', this.flush);
    document.removeEventListener('visibilitychange', this.flush);
  }

  private key(): string {
    return `${this.place}.${this.owner ?? ''}`;
  }

  /** Only what the daemon does not have is still of use. Whether nothing of that is lost. */
  private settle(): boolean {
    const saved = this.save();
    const isOfUse = saved !== null && hasUnsent(saved);
    const isKept = !isOfUse || this.write();
    if (!isOfUse) this.remove();
    clearTimeout(this.timer);
    this.timer = undefined;
    return isKept;
  }

  private note(userId: UserId): string {
    const owner = String(userId);
    try {
      this.store?.setItem(LAST_USER, owner);
    } catch {
      // Full or forbidden: then no copy is kept either.
    }
    return owner;
  }

  private remove(): void {
    try {
      this.store?.removeItem(this.key());
    } catch {
      // Forbidden: then nothing was ever put in.
    }
  }
}

function lastUser(store: SessionStore | null): string | null {
  try {
    return store?.getItem(LAST_USER) ?? null;
  } catch {
    return null;
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
