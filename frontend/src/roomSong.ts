import { openSong } from './song';
import { RealtimeError, type Rooms, type Song, type SongSnapshot, type Unsubscribe } from './types';

/** A song is kept so long after the last has let go: who only moves on the page does not leave. */
const KEPT_MS = 1000;

/** One song for all who show it: opened for the first, closed a moment after the last has gone. */
export class SharedSong {
  #song: Song | null = null;
  #holders = 0;
  #closing: ReturnType<typeof setTimeout> | undefined;
  #unopened: SongSnapshot;

  constructor(
    private readonly rooms: Rooms,
    readonly roomId: string,
  ) {
    this.#unopened = unopened(roomId);
  }

  /** The song, as long as somebody holds it. */
  get song(): Song | null {
    return this.#song;
  }

  readonly getSnapshot = (): SongSnapshot => this.#song?.getSnapshot() ?? this.#unopened;

  /** Hold the song, and be told when its snapshot has changed. */
  readonly subscribe = (listener: () => void): Unsubscribe => {
    const held = this.holdIfPossible();
    if (!held) {
      return () => undefined;
    }
    const unsubscribe = held.song.subscribe(listener);
    return () => {
      unsubscribe();
      held.release();
    };
  };

  /** As `hold`; null for a room that there cannot be, and then the snapshot says why. */
  holdIfPossible(): { song: Song; release: Unsubscribe } | null {
    try {
      return this.hold();
    } catch (error) {
      if (!(error instanceof RealtimeError)) {
        throw error;
      }
      this.#unopened = { ...unopened(this.roomId), state: 'refused', error };
      return null;
    }
  }

  /** Keep the song open until it is released; throws for a room that there cannot be. */
  hold(): { song: Song; release: Unsubscribe } {
    clearTimeout(this.#closing);
    this.#song ??= openSong(this.rooms, this.roomId);
    this.#holders += 1;
    let isHeld = true;
    const release = () => {
      if (isHeld) {
        isHeld = false;
        this.#released();
      }
    };
    return { song: this.#song, release };
  }

  #released(): void {
    this.#holders -= 1;
    if (this.#holders === 0) {
      this.#closing = setTimeout(() => {
        this.#song?.close();
        this.#song = null;
      }, KEPT_MS);
    }
  }
}

/** What is known of a song that is not open. */
export function unopened(roomId: string): SongSnapshot {
  return {
    roomId,
    userId: null,
    wasJoined: false,
    state: 'loading',
    text: '',
    revision: 0,
    unsent: 0,
    permission: null,
    participants: [],
    cursors: [],
    messages: [],
    canUndo: false,
    canRedo: false,
    saveState: null,
    error: null,
  };
}

const shared = new WeakMap<Rooms, Map<string, SharedSong>>();

/** The one song of a room; it is not opened by asking for it. */
export function sharedSong(rooms: Rooms, roomId: string): SharedSong {
  const songs = shared.get(rooms) ?? new Map<string, SharedSong>();
  shared.set(rooms, songs);
  const song = songs.get(roomId) ?? new SharedSong(rooms, roomId);
  songs.set(roomId, song);
  return song;
}
