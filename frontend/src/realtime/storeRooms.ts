/** Rooms whose songs are in a store: what a song needs, said as the daemon says it. */

import { Pacer } from '../services/pacing';
import { openSong } from '../song';
import {
  type CollaborationUpdate,
  type CursorPosition,
  type FlatOperation,
  type RoomLink,
  type Rooms,
  type RoomUser,
  type Song,
  type UserId,
} from '../types';
import { sessionStore } from '../tabCopy';
import { commit, editsSince, type Proposal } from './commit';
import { Presences } from './presences';
import { EMPTY_SONG, type SongStore, type StoredEdit, type StoredSong } from './store';

/** A document of Firestore takes one write a second for long, and a few more for a moment. */
const RATE = { count: 10, seconds: 10 };

/** Open a song in a store. What waits to be sent there is kept apart from what waits for the daemon. */
export function openStoredSong(store: SongStore, self: StoreUser, roomId: string): Song {
  const tab = sessionStore();
  const place = (key: string): string => `${key}.stored`;
  const storage = tab && {
    getItem: (key: string) => tab.getItem(place(key)),
    setItem: (key: string, value: string) => {
      tab.setItem(place(key), value);
    },
    removeItem: (key: string) => {
      tab.removeItem(place(key));
    },
  };
  return openSong(new StoreRooms(store, self), roomId, { storage });
}

export interface StoreUser {
  readonly userId: UserId;
  readonly name: string | null;
  readonly clientId: string;
}

export class StoreRooms implements Rooms {
  constructor(
    private readonly store: SongStore,
    private readonly self: StoreUser,
    /** Whether one is to be seen there. */
    private readonly isPresent = true,
  ) {}

  get userId(): UserId {
    return this.self.userId;
  }

  hold(roomId: string, user: RoomUser): RoomLink {
    return new StoreRoom(roomId, this.store, this.self, user, this.isPresent);
  }
}

export class StoreRoom implements RoomLink {
  readonly clientId: string;
  private song: StoredSong | null = null;
  private readonly presences: Presences;
  private readonly pacer = new Pacer();
  private unwatch: (() => void)[] = [];
  private isReleased = false;

  constructor(
    readonly roomId: string,
    private readonly store: SongStore,
    private readonly self: StoreUser,
    private readonly user: RoomUser,
    isPresent: boolean,
  ) {
    this.clientId = self.clientId;
    this.pacer.setRate(RATE);
    this.presences = new Presences(roomId, store, self, user, isPresent);
    this.watch();
  }

  request(
    event: 'collaboration_operation' | 'broadcast_message',
    payload: object,
  ): Promise<unknown> {
    if (event === 'broadcast_message') return this.say((payload as { message: unknown }).message);
    return new Promise((resolve, reject) => {
      this.pacer.whenDue(() => {
        this.commit(payload as Sent).then(resolve, reject);
      });
    });
  }

  moveCursor(position: CursorPosition, revision?: number): void {
    this.presences.moveCursor(position, revision);
  }

  rejoin(): void {
    if (this.isReleased || this.song === null) return;
    this.join(this.song);
  }

  release(): void {
    this.isReleased = true;
    for (const unwatch of this.unwatch.splice(0)) unwatch();
    this.pacer.clear();
    this.presences.close();
  }

  private watch(): void {
    this.unwatch.push(
      this.store.watchSong(
        this.roomId,
        (song) => {
          this.hear(song ?? EMPTY_SONG);
        },
        (error) => {
          this.user.lost(error);
        },
      ),
      this.store.watchMessages(this.roomId, ({ client_id, user_id, message, timestamp }) => {
        if (client_id === this.clientId) return;
        this.user.event('room_message', { room_id: this.roomId, user_id, message, timestamp });
      }),
    );
  }

  private hear(song: StoredSong): void {
    if (this.isReleased) return;
    const before = this.song;
    // A song that was written by another browser tab's cache may be an old one.
    if (before !== null && song.revision < before.revision) return;
    this.song = song;
    if (before === null) {
      this.join(song);
      this.presences.open();
    } else {
      this.tell(song, before.revision);
    }
  }

  private tell(song: StoredSong, since: number): void {
    const edits = editsSince(song, since);
    if (edits === null) {
      this.user.event('document_state', {
        ...{ room_id: this.roomId, revision: song.revision, text: song.text },
        ...{ last_seq: this.lastSeq(song), reason: 'behind' },
      });
      return;
    }
    for (const edit of edits) this.user.event('collaboration_update', this.update(edit));
  }

  private join(song: StoredSong): void {
    const { revision, document } = this.user.wish();
    const edits = revision === undefined || document ? null : editsSince(song, revision);
    this.user.joined({
      ...{ room_id: this.roomId, permission: 'edit', revision: song.revision },
      ...this.presences.participants(),
      last_seq: this.lastSeq(song),
      ...(edits === null
        ? { document: { text: song.text } }
        : { operations: edits.map((edit) => this.update(edit)) }),
    });
  }

  private update({ client_id, seq, user_id, ...edit }: StoredEdit): CollaborationUpdate {
    const operation_id = `${client_id}-${seq}`;
    return { ...edit, room_id: this.roomId, user_id, client_id, seq, operation_id };
  }

  private lastSeq(song: StoredSong): number {
    return song.seqs[this.clientId]?.seq ?? 0;
  }

  private async commit({ operation, revision, seq }: Sent): Promise<unknown> {
    const operations = Array.isArray(operation) ? (operation as FlatOperation[]) : [operation];
    const { userId: user_id, clientId: client_id } = this.self;
    const author = { client_id, user_id, timestamp: Date.now() };
    const proposal = { ...author, seq, revision, operations } as Proposal;
    let committed = 0;
    const song = await this.store.changeSong(this.roomId, (stored) => {
      const result = commit(stored, proposal);
      committed = result.revision;
      return result.song;
    });
    // The answer has its place: behind all that is in front of it in the song.
    this.hear(song ?? EMPTY_SONG);
    return { ok: true, room_id: this.roomId, operation_id: null, revision: committed, seq };
  }

  private async say(message: unknown): Promise<unknown> {
    const { userId: user_id, clientId: client_id } = this.self;
    const timestamp = Date.now();
    await this.store.addMessage(this.roomId, { client_id, user_id, message, timestamp });
    return { ok: true, room_id: this.roomId };
  }
}

interface Sent {
  readonly operation: FlatOperation | readonly FlatOperation[];
  readonly revision: number;
  readonly seq: number;
}
