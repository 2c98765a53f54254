/** What all parts of the page share: who one is, which song it is, and whether one is online. */
import { useEffect, useState, useSyncExternalStore } from 'react';
import { useSongDocument, useWebSocketConnection } from '../src/hooks/useWebSocket';
import { sessionStore } from '../src/tabCopy';
import { fetchToken, rememberedPerson, rememberPerson, type Person } from './person';
import { FIRST_SONG, songOf, STARTER } from './songs';

/** Who this tab is, and how it becomes somebody else. */
export function usePerson(): [Person, (next: Person) => void] {
  const [person, setPerson] = useState(() => rememberedPerson(sessionStore()));
  useEffect(() => {
    rememberPerson(person, sessionStore());
  }, [person]);
  return [person, setPerson];
}

/** A connection as this person, until they go offline. */
export function useOnline(person: Person) {
  const { connectionStatus, authenticate, connect, disconnect } = useWebSocketConnection();
  useEffect(() => {
    authenticate(() => fetchToken(person));
  }, [authenticate, person]);
  const isOnline = connectionStatus.state !== 'disconnected' && connectionStatus.state !== 'error';
  const toggle = () => {
    if (isOnline) {
      disconnect();
    } else {
      connect();
    }
  };
  return { isOnline, toggle };
}

/** The song that the address names, now and when one goes back. */
export function useSongId(): string {
  const search = useSyncExternalStore(
    (tell) => {
      window.addEventListener('popstate', tell);
      return () => {
        window.removeEventListener('popstate', tell);
      };
    },
    () => window.location.search,
  );
  return songOf(search);
}

export type DemoSong = ReturnType<typeof useSongDocument>;

/** The song; the first one is not empty, as there would be nothing to see. */
export function useDemoSong(songId: string): DemoSong {
  const document = useSongDocument(songId);
  const { song, state, revision, text, participants, permission } = document;
  // Who comes first writes it: the daemon says who that is, so that it is never there twice.
  const isFirst = participants.length === 1 && participants[0]?.connections === 1;
  const isNew = state === 'live' && revision === 0 && text === '';
  const isDue = songId === FIRST_SONG && isNew && isFirst && permission !== 'read';
  useEffect(() => {
    if (isDue) {
      song?.edit([STARTER], { isUndoable: false });
    }
  }, [isDue, song]);
  return document;
}
