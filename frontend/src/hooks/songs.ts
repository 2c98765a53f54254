import { useContext, useMemo, useSyncExternalStore } from 'react';
import { sharedSong, unopened, type SharedSong } from '../roomSong';
import type { Song, SongSnapshot, Unsubscribe } from '../types';
import { ConnectionContext } from './connection';

const NO_SONG = unopened('');
const getNoSong = () => NO_SONG;
const neverTold = (): Unsubscribe => () => undefined;

/** The song of a room, shared by all who show it, and how it is; nothing without a room. */
export function useSharedSong(roomId?: string | null): [SharedSong | null, SongSnapshot] {
  const service = useContext(ConnectionContext);
  const shared = roomId ? sharedSong(service, roomId) : null;
  const getSnapshot = shared?.getSnapshot ?? getNoSong;
  return [shared, useSyncExternalStore(shared?.subscribe ?? neverTold, getSnapshot, getSnapshot)];
}

/** What is asked of a song that is shown; it throws when none is. */
export function songActions(shared: SharedSong | null) {
  const open = (): Song => {
    if (!shared?.song) {
      throw new Error('No song is open');
    }
    return shared.song;
  };
  return {
    edit: (...edit: Parameters<Song['edit']>) => {
      open().edit(...edit);
    },
    setText: (text: string) => {
      open().setText(text);
    },
    undo: () => open().undo(),
    redo: () => open().redo(),
    moveCursor: (offset: number, selection?: readonly [start: number, end: number]) => {
      open().moveCursor(offset, selection);
    },
    /** Nobody has to wait for it: a failure that is not looked at troubles nobody. */
    sendMessage: (message: unknown): Promise<void> => {
      const sent = open().sendMessage(message);
      sent.catch(() => undefined);
      return sent;
    },
  };
}

/** A song that is edited together, open for as long as the component is shown. */
export function useSongDocument(roomId?: string | null) {
  const [shared, snapshot] = useSharedSong(roomId);
  const actions = useMemo(() => songActions(shared), [shared]);
  /** For editors: `songDocument(song)`, `bindTextarea(element, song)`. */
  const song = shared?.song ?? null;
  return useMemo(() => ({ ...snapshot, ...actions, song }), [snapshot, actions, song]);
}
