/**
 * The stores that songs are tested with: Firestore's rules in memory, and Google's own emulator of
 * Firestore where it is installed (it needs Java).
 */

import { existsSync } from 'node:fs';

import type {
  SongStore,
  StoredMessage,
  StoredPresence,
  StoredSong,
} from '../../src/realtime/store';
import { Emulator, JAR } from './emulator';

export interface Stores {
  /** A page's own connection. */
  open(): SongStore;
  stop(): Promise<void>;
}

interface Room {
  song: StoredSong | null;
  version: number;
  readonly present: Map<string, StoredPresence>;
  readonly listeners: Set<() => void>;
  readonly hearing: Set<(message: StoredMessage) => void>;
}

/**
 * What Firestore documents of itself, as far as songs need it: everything takes its time; a
 * transaction whose document somebody else has changed runs again; listeners hear the newest state,
 * and not each one; what is given out and taken in are copies.
 */
class InMemory implements Stores {
  private readonly rooms = new Map<string, Room>();

  open(): SongStore {
    return {
      watchSong: (roomId, tell) => {
        const room = this.room(roomId);
        let told = -1;
        return this.listen(room, () => {
          if (told === room.version) return;
          told = room.version;
          tell(structuredClone(room.song));
        });
      },
      changeSong: async (roomId, change) => {
        const room = this.room(roomId);
        for (;;) {
          await delay();
          const { version } = room;
          const stored = structuredClone(room.song);
          const changed = change(stored);
          await delay();
          if (room.version !== version) continue;
          if (changed === null) return stored;
          room.song = structuredClone(changed);
          room.version += 1;
          for (const listener of room.listeners) listener();
          await delay();
          return changed;
        }
      },
      watchPresence: (roomId, tell) => {
        const room = this.room(roomId);
        return this.listen(room, () => {
          tell([...room.present.values()].map((presence) => structuredClone(presence)));
        });
      },
      setPresence: async (roomId, clientId, presence) => {
        await delay();
        const { present, listeners } = this.room(roomId);
        if (presence === null) present.delete(clientId);
        else present.set(clientId, structuredClone(presence));
        for (const listener of listeners) listener();
      },
      watchMessages: (roomId, tell) => {
        const { hearing } = this.room(roomId);
        hearing.add(tell);
        return () => hearing.delete(tell);
      },
      addMessage: async (roomId, message) => {
        await delay();
        for (const hear of this.room(roomId).hearing) hear(structuredClone(message));
      },
    };
  }

  stop(): Promise<void> {
    return Promise.resolve();
  }

  private room(roomId: string): Room {
    const room = this.rooms.get(roomId) ?? {
      ...{ song: null, version: 0, present: new Map<string, StoredPresence>() },
      ...{ listeners: new Set<() => void>(), hearing: new Set<(message: StoredMessage) => void>() },
    };
    this.rooms.set(roomId, room);
    return room;
  }

  /** Called a moment after each change, for all that have come by then. */
  private listen(room: Room, hear: () => void): () => void {
    let isOpen = true;
    let isDue = false;
    const listener = (): void => {
      if (isDue) return;
      isDue = true;
      void delay().then(() => {
        isDue = false;
        if (isOpen) hear();
      });
    };
    room.listeners.add(listener);
    listener();
    return () => {
      isOpen = false;
      room.listeners.delete(listener);
    };
  }
}

const delay = (): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, 1 + Math.random() * 15));

export const STORES: readonly (readonly [
  name: string,
  start: () => Promise<Stores>,
  options: { retry: number },
])[] = [
  ['Firestore in memory', () => Promise.resolve(new InMemory()), { retry: 0 }],
  // Of its streams one in some hundreds breaks ("message larger than max"), for a minute.
  ...(existsSync(JAR)
    ? [["Google's emulator", () => Emulator.start(), { retry: 2 }] as const]
    : []),
];
