/** Edits that the daemon does not have yet, kept for when this page is loaded again. */

import type { SavedDocument } from './document';

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

/** What is open in this page; of two that are the same song, only the first is kept. */
const kept = new WeakMap<SessionStore, Set<string>>();

/** What of one song is kept; full or forbidden storage is as good as none. */
export class Unsent {
  private readonly key: string;
  private readonly store: SessionStore | null;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private readonly flush = (): void => {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.write();
  };

  constructor(
    roomId: string,
    store: SessionStore | null,
    private readonly save: () => SavedDocument | null,
  ) {
    this.key = `chordme.unsent.${roomId}`;
    const others = store === null ? null : (kept.get(store) ?? new Set());
    this.store = others?.has(this.key) === false ? store : null;
    if (this.store === null || others === null) return;
    kept.set(this.store, others.add(this.key));
    if (typeof window === 'undefined') return;
    // A page that is left is told nothing later than this.
    window.addEventListener('pagehide', this.flush);
    document.addEventListener('visibilitychange', this.flush);
  }

  /** What the page before has left; null if nothing, or nothing that makes sense. */
  read(): SavedDocument | null {
    try {
      const saved: unknown = JSON.parse(this.store?.getItem(this.key) ?? 'null');
      return isSaved(saved) ? saved : null;
    } catch {
      return null;
    }
  }

  /** The document has changed. */
  changed(): void {
    if (this.store !== null) this.timer ??= setTimeout(this.flush, WRITE_AFTER_MS);
  }

  close(): void {
    this.flush();
    if (this.store !== null) kept.get(this.store)?.delete(this.key);
    if (typeof window === 'undefined') return;
    window.removeEventListener('pagehide', this.flush);
    document.removeEventListener('visibilitychange', this.flush);
  }

  private write(): void {
    try {
      const saved = this.save();
      if (saved === null) this.store?.removeItem(this.key);
      else this.store?.setItem(this.key, JSON.stringify(saved));
    } catch {
      // Full or forbidden: what is typed lives as long as the page.
    }
  }
}

function isSaved(value: unknown): value is SavedDocument {
  if (typeof value !== 'object' || value === null) return false;
  const { clientId, revision, seq, synced, out, waiting } = value as Record<string, unknown>;
  return (
    typeof clientId === 'string' &&
    [revision, seq].every((one) => Number.isSafeInteger(one) && (one as number) >= 0) &&
    typeof synced === 'string' &&
    (out === null || isOperation(out)) &&
    isOperation(waiting)
  );
}

function isOperation(value: unknown): boolean {
  const isPart = (part: unknown): boolean => typeof part === 'string' || Number.isSafeInteger(part);
  return Array.isArray(value) && value.every(isPart);
}
