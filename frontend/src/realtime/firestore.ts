/**
 * Songs in Firestore, by the `firebase` package.
 *
 * `collaboration/{song}` is the song; `presence` and `messages` are collections below it. This module
 * is loaded where Firebase is used, and nowhere else.
 */

import { getApps, initializeApp, type FirebaseOptions } from 'firebase/app';
import {
  addDoc,
  collection,
  connectFirestoreEmulator,
  deleteDoc,
  doc,
  Firestore,
  FirestoreError,
  getFirestore,
  limitToLast,
  onSnapshot,
  orderBy,
  query,
  runTransaction,
  serverTimestamp,
  setDoc,
} from 'firebase/firestore';

import { RealtimeError, type ErrorCode } from '../types';
import {
  EMPTY_SONG,
  type SongStore,
  type StoredMessage,
  type StoredPresence,
  type StoredSong,
} from './store';

export interface FirestoreOptions {
  /** An app that is there already, or how to begin one. */
  readonly firestore?: Firestore;
  readonly config?: FirebaseOptions;
  readonly emulator?: { readonly host: string; readonly port: number };
  /** Where songs are; ChordMe's own name unless told otherwise. */
  readonly collection?: string;
}

const LAST_MESSAGES = 50;

export function openFirestore(options: FirestoreOptions): SongStore {
  const firestore = options.firestore ?? begin(options);
  const songs = options.collection ?? 'collaboration';
  const songAt = (roomId: string) => doc(firestore, songs, roomId);
  const below = (roomId: string, name: string) => collection(firestore, songs, roomId, name);
  const make = (roomId: string): Promise<void> =>
    runTransaction(firestore, async (transaction) => {
      const isThere = (await transaction.get(songAt(roomId))).exists();
      if (!isThere) transaction.set(songAt(roomId), EMPTY_SONG);
    });
  return {
    watchSong: (roomId, tell, failed) => {
      let isMade = false;
      return onSnapshot(
        songAt(roomId),
        (snapshot) => {
          if (snapshot.exists()) {
            tell(songOf(snapshot.data()));
          } else if (!snapshot.metadata.fromCache) {
            tell(null);
            // Who listens for what is not there may miss that it is made: it is made at once.
            if (!isMade) make(roomId).catch(() => undefined);
            isMade = true;
          }
        },
        (error) => {
          failed(errorOf(error));
        },
      );
    },
    changeSong: (roomId, change) =>
      told(
        runTransaction(firestore, async (transaction) => {
          const stored = songOf((await transaction.get(songAt(roomId))).data());
          const changed = change(stored);
          if (changed !== null) transaction.set(songAt(roomId), changed);
          return changed ?? stored;
        }),
      ),
    watchPresence: (roomId, tell) =>
      onSnapshot(
        below(roomId, 'presence'),
        (snapshot) => {
          tell(snapshot.docs.map((one) => one.data() as StoredPresence));
        },
        () => undefined,
      ),
    setPresence: (roomId, clientId, presence) => {
      const place = doc(below(roomId, 'presence'), clientId);
      return told(presence === null ? deleteDoc(place) : setDoc(place, presence));
    },
    watchMessages: (roomId, tell) => {
      let isFirst = true;
      const last = query(below(roomId, 'messages'), orderBy('at'), limitToLast(LAST_MESSAGES));
      return onSnapshot(
        last,
        (snapshot) => {
          for (const { type, doc: added } of isFirst ? [] : snapshot.docChanges()) {
            const { at, message, ...rest } = added.data({ serverTimestamps: 'none' });
            // What was said here itself has no time before the server gives it one.
            if (type === 'removed' || at === null) continue;
            tell({ ...rest, message: JSON.parse(message as string) as unknown } as StoredMessage);
          }
          isFirst = false;
        },
        () => undefined,
      );
    },
    addMessage: async (roomId, { message, ...rest }) => {
      // Firestore knows no lists in lists.
      const kept = { ...rest, message: JSON.stringify(message), at: serverTimestamp() };
      await told(addDoc(below(roomId, 'messages'), kept));
    },
  };
}

function begin({ config, emulator }: FirestoreOptions): Firestore {
  const [app = initializeApp(config ?? {})] = getApps();
  const firestore = getFirestore(app);
  if (emulator !== undefined) connectFirestoreEmulator(firestore, emulator.host, emulator.port);
  return firestore;
}

function songOf(data: unknown): StoredSong | null {
  const song = data as Partial<StoredSong> | undefined;
  if (typeof song?.text !== 'string' || typeof song.revision !== 'number') return null;
  return {
    ...song,
    text: song.text,
    revision: song.revision,
    recent: song.recent ?? [],
    seqs: song.seqs ?? {},
  };
}

async function told<Value>(promise: Promise<Value>): Promise<Value> {
  try {
    return await promise;
  } catch (error) {
    throw errorOf(error);
  }
}

const CODES: Readonly<Record<string, ErrorCode>> = {
  'permission-denied': 'forbidden',
  unauthenticated: 'unauthenticated',
  'resource-exhausted': 'rate_limited',
  'invalid-argument': 'bad_request',
};

function errorOf(error: unknown): RealtimeError {
  if (error instanceof RealtimeError) return error;
  const code = error instanceof FirestoreError ? CODES[error.code] : undefined;
  const message = error instanceof Error ? error.message : 'Firestore failed';
  return new RealtimeError(code ?? 'unavailable', message, code ? {} : { retryAfterMs: 2000 });
}
