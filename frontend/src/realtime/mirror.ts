/**
 * Keeps a stored song equal to the daemon's, both ways.
 *
 * - What the daemon has is mirrored: whoever is there writes it, the newest revision once.
 * - What was edited in the store, while the daemon was away or by somebody who cannot reach it, is
 *   carried to the daemon by one client: whoever enters itself as the carrier, in a transaction.
 *
 * The text of the daemon that was mirrored last is the base of both.
 */

import { apply, diff, toWire, transform } from '../ot';
import type { Song, Unsubscribe } from '../types';
import { EMPTY_SONG, type Mirrored, type SongStore, type StoredSong } from './store';

const OWN_AFTER_MS = 300;
/** Others write it only if who has edited it is gone. */
const OTHERS_AFTER_MS = 1500;
/** A carrier that has not done it by then is gone. */
const CARRY_WITHIN_MS = 10_000;
/** As this client the daemon writes here. */
const DAEMON = 'daemon';

export interface MirrorSettings {
  readonly roomId: string;
  readonly clientId: string;
  readonly random?: () => number;
}

export class Mirror {
  /** The song as it is stored; null before that is known. */
  stored: StoredSong | null = null;
  /** The daemon's text and revision, when nothing of this client was under way. */
  settled: Mirrored | null = null;
  private isBusy = false;
  private wasLive = false;
  private isOwn = false;
  private isClosed = false;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private carrier: { readonly text: string; readonly since: number } | null = null;
  private readonly unsubscribe: Unsubscribe[];

  constructor(
    private readonly song: Song,
    private readonly store: SongStore,
    private readonly settings: MirrorSettings,
    private readonly changed: () => void,
  ) {
    this.unsubscribe = [
      store.watchSong(
        settings.roomId,
        (stored) => {
          this.hear(stored ?? EMPTY_SONG);
        },
        () => undefined,
      ),
      song.onChange(({ origin }) => {
        this.isOwn = origin !== 'remote' && origin !== 'reset';
      }),
      song.subscribe(() => {
        this.settle();
      }),
    ];
    this.settle();
  }

  /** Whether what is stored is what the daemon has. */
  get isInStep(): boolean {
    const { stored, settled } = this;
    return stored !== null && settled !== null && !hasOwnEdits(stored, settled);
  }

  /** Have the last that the daemon had in the store, before it is edited there. */
  async leave(): Promise<void> {
    if (this.settled !== null) await this.write(this.settled);
  }

  close(): void {
    this.isClosed = true;
    clearTimeout(this.timer);
    for (const unsubscribe of this.unsubscribe) unsubscribe();
  }

  private hear(stored: StoredSong): void {
    if (this.stored !== null && stored.revision < this.stored.revision) return;
    this.stored = stored;
    const text = stored.carrier === undefined ? null : JSON.stringify(stored.carrier);
    if (text === null) this.carrier = null;
    else if (this.carrier?.text !== text) this.carrier = { text, since: performance.now() };
    this.plan();
    this.changed();
  }

  private settle(): void {
    const { state, unsent, text, revision } = this.song.getSnapshot();
    const isBack = state === 'live' && !this.wasLive;
    this.wasLive = state === 'live';
    if (isBack) this.plan();
    if (state !== 'live' || unsent > 0) return;
    if (this.settled?.revision === revision && this.settled.text === text) return;
    this.settled = { text, revision };
    this.plan();
    this.changed();
  }

  private get isLive(): boolean {
    return this.song.getSnapshot().state === 'live';
  }

  private plan(): void {
    clearTimeout(this.timer);
    const { stored, settled } = this;
    if (this.isClosed || this.isBusy || stored === null || settled === null || !this.isLive) return;
    const random = this.settings.random ?? Math.random;
    if (hasOwnEdits(stored, settled)) {
      const waited = this.carrier === null ? 0 : performance.now() - this.carrier.since;
      const waitMs = this.carrier === null ? random() * OTHERS_AFTER_MS : CARRY_WITHIN_MS - waited;
      this.later(waitMs, () => this.carry());
    } else if ((stored.daemon?.revision ?? -1) < settled.revision) {
      const waitMs = this.isOwn ? OWN_AFTER_MS : OTHERS_AFTER_MS * (1 + random());
      this.later(waitMs, () => this.write(settled));
    }
  }

  private later(waitMs: number, act: () => Promise<void>): void {
    this.timer = setTimeout(
      () => {
        this.isBusy = true;
        act()
          // What fails is planned again.
          .catch(() => new Promise((resolve) => setTimeout(resolve, OTHERS_AFTER_MS)))
          .finally(() => {
            this.isBusy = false;
            this.plan();
          });
      },
      Math.max(0, waitMs),
    );
  }

  private write(settled: Mirrored): Promise<void> {
    return this.change((stored) => {
      const song = stored ?? EMPTY_SONG;
      const isOld = song.daemon !== undefined && song.daemon.revision >= settled.revision;
      return isOld || hasOwnEdits(song, settled) ? null : written(song, settled.text, settled);
    });
  }

  private async carry(): Promise<void> {
    const { clientId } = this.settings;
    const abandoned = this.carrier?.text;
    const claims: StoredSong[] = [];
    await this.change((stored) => {
      claims.length = 0;
      const { settled } = this;
      if (stored === null || settled === null || !hasOwnEdits(stored, settled)) return null;
      const isTaken = stored.carrier !== undefined && JSON.stringify(stored.carrier) !== abandoned;
      if (isTaken) return null;
      const carrier = { client_id: clientId, revision: stored.revision };
      claims.push({ ...stored, carrier });
      return { ...stored, carrier };
    });
    const [claimed] = claims;
    if (claimed === undefined) return;
    this.bring(claimed);
    const settled = await this.whenSettled();
    await this.change((stored) => delivered(stored, claimed, settled, clientId));
  }

  private async change(change: (song: StoredSong | null) => StoredSong | null): Promise<void> {
    const song = await this.store.changeSong(this.settings.roomId, change);
    if (!this.isClosed) this.hear(song ?? EMPTY_SONG);
  }

  /** Edit the daemon's song as the stored one was edited. */
  private bring(claimed: StoredSong): void {
    const { text } = this.song.getSnapshot();
    const base = claimed.daemon?.text ?? '';
    // A carrier that is gone may have done it.
    if (claimed.text === text) return;
    const edit = transform(diff(base, claimed.text), diff(base, text), true);
    if (edit.length > 0) this.song.edit(edit);
  }

  private whenSettled(): Promise<Mirrored> {
    return new Promise((resolve) => {
      const look = (): boolean => {
        const { state, unsent, text, revision } = this.song.getSnapshot();
        if (state !== 'live' || unsent > 0) return false;
        resolve({ text, revision });
        return true;
      };
      if (look()) return;
      const unsubscribe = this.song.subscribe(() => {
        if (look()) unsubscribe();
      });
      this.unsubscribe.push(unsubscribe);
    });
  }
}

/** Whether something was edited in the store that the daemon does not have. */
function hasOwnEdits(stored: StoredSong, settled: Mirrored): boolean {
  if (stored.daemon !== undefined) return stored.text !== stored.daemon.text;
  // Never mirrored: a song that the daemon knows is the daemon's.
  return settled.revision === 0 && stored.text !== settled.text;
}

function written(song: StoredSong, text: string, daemon: Mirrored): StoredSong {
  const operations = toWire(diff(song.text, text));
  const revision = song.revision + 1;
  const edit = {
    ...{ revision, client_id: DAEMON, seq: daemon.revision, user_id: DAEMON },
    ...{ timestamp: Date.now(), operations },
  };
  const rest = { text, revision, seqs: song.seqs, daemon };
  return { ...rest, recent: [...song.recent.slice(-49), edit] };
}

/** The song after its edits were carried; what was edited meanwhile is to be carried next. */
function delivered(
  stored: StoredSong | null,
  claimed: StoredSong,
  settled: Mirrored,
  clientId: string,
): StoredSong | null {
  if (stored === null || stored.carrier?.client_id !== clientId) return null;
  const since = diff(claimed.text, stored.text);
  const text = apply(settled.text, transform(since, diff(claimed.text, settled.text), true));
  return written(stored, text, settled);
}
