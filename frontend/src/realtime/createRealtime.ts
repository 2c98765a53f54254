/**
 * Songs by the daemon, by Firebase, or by both, as the page was built.
 *
 * With both the daemon is written to, and Firebase mirrors it; while the daemon is away, songs are
 * edited in Firebase. Whichever it is: a song is a `Song`.
 */

import { environment } from '../services/environment';
import { TabName } from '../services/clientId';
import { webSocketService, type WebSocketService } from '../services/webSocketService';
import { sharedSong } from '../roomSong';
import type { Song, Token, UserId } from '../types';
import { DualSong } from './dualSong';
import type { FirestoreOptions } from './firestore';
import type { SongStore } from './store';
import { openStoredSong, type StoreUser } from './storeRooms';

export type RealtimeMode = 'websocket' | 'firebase' | 'both';

export interface RealtimeOptions {
  /** Instead of `VITE_USE_FIREBASE`. */
  readonly useFirebase?: boolean;
  /** Instead of `VITE_USE_WEBSOCKET`. */
  readonly useWebSocket?: boolean;
  /** Who this is, for Firebase; the daemon takes it from the token. */
  readonly user?: { readonly id: UserId; readonly name?: string };
  readonly token?: Token;
  readonly firebase?: FirestoreOptions;
  /** Instead of Firestore. */
  readonly store?: SongStore;
  readonly service?: WebSocketService;
  readonly tab?: TabName;
  /** How long the daemon may be away before Firebase takes over. */
  readonly fallBackAfterMs?: number;
}

export interface Realtime {
  readonly mode: RealtimeMode;
  /** The daemon's service, where it is used. */
  readonly service: WebSocketService | null;
  /** Open a song; `close` it when it is needed no more. */
  openSong(roomId: string): Promise<Song>;
  close(): void;
}

/** Which of the two is used: as told, else as built, else the daemon. */
export function realtimeMode(
  { useFirebase, useWebSocket }: Pick<RealtimeOptions, 'useFirebase' | 'useWebSocket'> = {},
  built: Readonly<Record<string, unknown>> = environment(),
): RealtimeMode {
  const source = built.VITE_DATA_SOURCE;
  const isBuilt = (name: string): boolean | undefined => {
    const value = built[name];
    return value === undefined || value === '' ? undefined : value === 'true' || value === true;
  };
  const firebase = useFirebase ?? isBuilt('VITE_USE_FIREBASE') ?? source === 'firebase';
  const webSocket = useWebSocket ?? isBuilt('VITE_USE_WEBSOCKET') ?? !firebase;
  if (firebase) return webSocket ? 'both' : 'firebase';
  return 'websocket';
}

export function createRealtime(options: RealtimeOptions = {}): Realtime {
  const mode = realtimeMode(options);
  const service = mode === 'firebase' ? null : (options.service ?? webSocketService);
  if (service !== null && options.token !== undefined) service.connect(options.token);
  const songs = new Set<Song>();
  const keep = (song: Song): Song => {
    songs.add(song);
    return song;
  };
  let opened: Promise<{ store: SongStore; self: StoreUser }> | null = null;
  return {
    mode,
    service,
    async openSong(roomId) {
      if (mode === 'websocket' && service !== null) return keep(held(service, roomId));
      opened ??= openStore(options);
      const { store, self } = await opened;
      if (service === null) return keep(openStoredSong(store, self, roomId));
      return keep(
        new DualSong(roomId, {
          service,
          store,
          self,
          ...(options.fallBackAfterMs !== undefined && {
            fallBackAfterMs: options.fallBackAfterMs,
          }),
        }),
      );
    },
    close() {
      for (const song of songs) song.close();
      songs.clear();
    },
  };
}

/** The one song of a room that all of the page shares; closing it lets go of it. */
function held(service: WebSocketService, roomId: string): Song {
  const { song, release } = sharedSong(service, roomId).hold();
  return {
    roomId,
    getSnapshot: () => song.getSnapshot(),
    subscribe: (listener) => song.subscribe(listener),
    onChange: (listener) => song.onChange(listener),
    onConflict: (listener) => song.onConflict(listener),
    edit: (...edit) => {
      song.edit(...edit);
    },
    setText: (text) => {
      song.setText(text);
    },
    undo: () => song.undo(),
    redo: () => song.redo(),
    moveCursor: (offset, selection) => {
      song.moveCursor(offset, selection);
    },
    sendMessage: (message) => song.sendMessage(message),
    close: release,
  };
}

async function openStore(options: RealtimeOptions): Promise<{ store: SongStore; self: StoreUser }> {
  const { user, tab = new TabName() } = options;
  if (user === undefined) throw new Error('Firebase has to be told who the user is: { user }');
  const clientId = await tab.claim();
  const self = { userId: user.id, name: user.name ?? null, clientId };
  if (options.store !== undefined) return { store: options.store, self };
  // Loaded only here: who does not use Firebase does not load it.
  const { openFirestore } = await import('./firestore');
  return { store: openFirestore(options.firebase ?? { config: configBuilt() }), self };
}

/** The names by which ChordMe has always been built with Firebase. */
function configBuilt(): NonNullable<FirestoreOptions['config']> {
  const built = environment();
  const named = {
    apiKey: built.VITE_FIREBASE_API_KEY,
    authDomain: built.VITE_FIREBASE_AUTH_DOMAIN,
    projectId: built.VITE_FIREBASE_PROJECT_ID,
    storageBucket: built.VITE_FIREBASE_STORAGE_BUCKET,
    messagingSenderId: built.VITE_FIREBASE_MESSAGING_SENDER_ID,
    appId: built.VITE_FIREBASE_APP_ID,
  };
  return Object.fromEntries(Object.entries(named).filter(([, value]) => value !== undefined));
}
