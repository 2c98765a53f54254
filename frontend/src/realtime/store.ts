/** What songs need of a store that is no daemon: a place for documents, transactions, listening. */

import type { CursorPosition, FlatOperation, RealtimeError, Unsubscribe, UserId } from '../types';

/** One edit as it is kept beside the text that it led to. */
export interface StoredEdit {
  readonly revision: number;
  readonly client_id: string;
  readonly seq: number;
  readonly user_id: UserId;
  readonly timestamp: number;
  readonly operations: readonly FlatOperation[];
}

/** The text at the daemon, as it was when it was mirrored here. */
export interface Mirrored {
  readonly revision: number;
  readonly text: string;
}

export interface StoredSong {
  readonly text: string;
  readonly revision: number;
  /** The last edits, oldest first and without holes. */
  readonly recent: readonly StoredEdit[];
  /** Of each client the last edit that is in the text. */
  readonly seqs: Readonly<Record<string, { readonly seq: number; readonly revision: number }>>;
  readonly daemon?: Mirrored;
  /** Who is bringing to the daemon what was edited here, up to which revision. */
  readonly carrier?: { readonly client_id: string; readonly revision: number };
}

export interface StoredPresence {
  readonly client_id: string;
  readonly user_id: UserId;
  readonly name: string | null;
  /** Another number each time: whoever is gone has one that stays. */
  readonly beat: number;
  readonly cursor: { readonly position: CursorPosition; readonly revision: number | null } | null;
}

export interface StoredMessage {
  readonly client_id: string;
  readonly user_id: UserId;
  readonly message: unknown;
  readonly timestamp: number;
}

/** Rejects with, and tells, `RealtimeError`s. */
export interface SongStore {
  /** Be told of the song now and whenever it has changed; null where there is none yet. */
  watchSong(
    roomId: string,
    tell: (song: StoredSong | null) => void,
    failed: (error: RealtimeError) => void,
  ): Unsubscribe;
  /**
   * Change a song in one step. `change` may be called again, with what somebody else has made of it
   * meanwhile; where it returns null all stays as it is. What there is then is given back.
   */
  changeSong(
    roomId: string,
    change: (song: StoredSong | null) => StoredSong | null,
  ): Promise<StoredSong | null>;
  watchPresence(roomId: string, tell: (present: readonly StoredPresence[]) => void): Unsubscribe;
  setPresence(roomId: string, clientId: string, presence: StoredPresence | null): Promise<void>;
  /** Be told of each message that is said from now on. */
  watchMessages(roomId: string, tell: (message: StoredMessage) => void): Unsubscribe;
  addMessage(roomId: string, message: StoredMessage): Promise<void>;
}

export const EMPTY_SONG: StoredSong = { text: '', revision: 0, recent: [], seqs: {} };
