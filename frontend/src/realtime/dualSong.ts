/**
 * One song by daemon and store.
 *
 * The daemon's song is the one that is edited and shown, as long as the daemon is there; the store
 * mirrors it. When the daemon has been away for a while the stored song is, until the daemon is back
 * and has what was edited meanwhile. One is present in the one or in the other.
 */

import { apply, compose, diff, invert, transform } from '../ot';
import { Listeners } from '../services/listeners';
import { sharedSong } from '../roomSong';
import type { Operation, Rooms, Song, SongSnapshot, TextChange, Unsubscribe } from '../types';
import { Mirror } from './mirror';
import type { SongStore } from './store';
import { openStoredSong, type StoreUser } from './storeRooms';

const FALL_BACK_AFTER_MS = 5000;

export interface DualSettings {
  readonly service: Rooms;
  readonly store: SongStore;
  readonly self: StoreUser;
  readonly fallBackAfterMs?: number;
}

export class DualSong implements Song {
  private readonly daemonSong: Song;
  private readonly release: Unsubscribe;
  private readonly mirror: Mirror;
  private storedSong: Song | null = null;
  /** Whether the stored song is the one that is shown. */
  private isAway = false;
  private isClosed = false;
  private timer: ReturnType<typeof setTimeout> | undefined;
  /** The daemon's text, and what was edited here since then. */
  private base = '';
  private own: Operation = [];
  /** Whose that is. */
  private userId: string | null = null;
  private readonly listeners = new Listeners<[]>();
  private readonly changes = new Listeners<[TextChange]>();
  private readonly conflicts = new Listeners<[{ kept: string; dropped: string }]>();

  constructor(
    readonly roomId: string,
    private readonly settings: DualSettings,
  ) {
    const { song, release } = sharedSong(settings.service, roomId).hold();
    this.daemonSong = song;
    this.release = release;
    ({ text: this.base, userId: this.userId } = song.getSnapshot());
    this.follow(song, () => !this.isAway);
    song.onChange((change) => {
      this.track(change);
    });
    const { clientId } = settings.self;
    this.mirror = new Mirror(song, settings.store, { roomId, clientId }, () => {
      this.look();
    });
    this.look();
  }

  getSnapshot(): SongSnapshot {
    return this.shown.getSnapshot();
  }

  subscribe(listener: () => void): Unsubscribe {
    return this.listeners.add(listener);
  }

  onChange(listener: (change: TextChange) => void): Unsubscribe {
    return this.changes.add(listener);
  }

  onConflict(listener: (conflict: { kept: string; dropped: string }) => void): Unsubscribe {
    return this.conflicts.add(listener);
  }

  edit(...edit: Parameters<Song['edit']>): void {
    this.shown.edit(...edit);
  }

  setText(text: string): void {
    this.shown.setText(text);
  }

  undo(): boolean {
    return this.shown.undo();
  }

  redo(): boolean {
    return this.shown.redo();
  }

  moveCursor(offset: number, selection?: readonly [start: number, end: number]): void {
    this.shown.moveCursor(offset, selection);
  }

  sendMessage(message: unknown): Promise<void> {
    return this.shown.sendMessage(message);
  }

  close(): void {
    this.isClosed = true;
    clearTimeout(this.timer);
    this.mirror.close();
    this.storedSong?.close();
    this.release();
    this.listeners.clear();
    this.changes.clear();
    this.conflicts.clear();
  }

  private get shown(): Song {
    return this.isAway && this.storedSong !== null ? this.storedSong : this.daemonSong;
  }

  private follow(song: Song, isShown: () => boolean): void {
    song.subscribe(() => {
      if (this.isClosed) return;
      if (isShown()) this.listeners.tell();
      this.look();
    });
    song.onChange((change) => {
      if (!this.isClosed && isShown()) this.changes.tell(change);
    });
    song.onConflict((conflict) => {
      if (!this.isClosed && isShown()) this.conflicts.tell(conflict);
    });
  }

  /** Know apart what the daemon has and what only this client has. */
  private track({ operation, origin }: TextChange): void {
    const { text, userId } = this.daemonSong.getSnapshot();
    if (userId !== this.userId) {
      this.userId = userId;
      this.base = text;
      this.own = [];
    } else if (origin === 'remote' || origin === 'reset') {
      const foreign = transform(operation, invert(this.own, this.base), false);
      this.own = transform(this.own, foreign, true);
      this.base = apply(this.base, foreign);
    } else {
      this.own = compose(this.own, operation);
    }
  }

  // Away, and back

  private look(): void {
    if (this.isClosed) return;
    const { state, unsent, text } = this.daemonSong.getSnapshot();
    const isLive = state === 'live';
    if (isLive && unsent === 0) {
      this.base = text;
      this.own = [];
    }
    if (this.isAway) {
      if (isLive) this.comeBack();
    } else if (isLive || state === 'refused') {
      clearTimeout(this.timer);
      this.timer = undefined;
      this.storedSong?.close();
      this.storedSong = null;
    } else {
      this.timer ??= setTimeout(() => {
        this.timer = undefined;
        this.goAway();
      }, this.settings.fallBackAfterMs ?? FALL_BACK_AFTER_MS);
    }
    if (!this.isAway && this.isStoreReady()) this.switchToStored();
  }

  private isStoreReady(): boolean {
    return this.storedSong?.getSnapshot().state === 'live';
  }

  private goAway(): void {
    const state = this.daemonSong.getSnapshot().state;
    if (this.isClosed || this.isAway || state === 'live' || this.storedSong !== null) return;
    const open = (): void => {
      if (this.isClosed || this.storedSong !== null) return;
      if (this.daemonSong.getSnapshot().state === 'live') return;
      const { store, self } = this.settings;
      const song = openStoredSong(store, self, this.roomId);
      this.storedSong = song;
      this.follow(song, () => this.isAway && this.storedSong === song);
    };
    // If that fails the store is away as well, and says so.
    this.mirror.leave().then(open, open);
  }

  private switchToStored(): void {
    const song = this.storedSong;
    if (song === null) return;
    const before = this.daemonSong.getSnapshot().text;
    const { own, base } = this;
    // What is under way to the daemon is taken back there: it goes by the store now, and once.
    if (own.length > 0) this.daemonSong.edit(invert(own, base));
    this.isAway = true;
    const stored = song.getSnapshot().text;
    const edit = transform(own, diff(base, stored), true);
    this.tellSwitch(before, stored);
    if (edit.length > 0) song.edit(edit);
  }

  private comeBack(): void {
    const song = this.storedSong;
    if (song === null) return;
    const { unsent, text } = song.getSnapshot();
    const { stored } = this.mirror;
    const daemon = this.daemonSong.getSnapshot();
    if (unsent > 0 || !this.mirror.isInStep || stored?.text !== text) return;
    if (daemon.unsent > 0 || daemon.revision < (stored.daemon?.revision ?? 0)) return;
    this.isAway = false;
    this.storedSong = null;
    song.close();
    this.tellSwitch(text, daemon.text);
  }

  private tellSwitch(before: string, after: string): void {
    const operation = diff(before, after);
    if (operation.length > 0) this.changes.tell({ operation, origin: 'reset' });
    this.listeners.tell();
  }
}
