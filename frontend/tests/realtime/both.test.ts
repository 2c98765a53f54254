import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';

import { createRealtime } from '../../src/realtime/createRealtime';
import type { SongStore, StoredSong } from '../../src/realtime/store';
import { Backoff } from '../../src/services/backoff';
import { TabName } from '../../src/services/clientId';
import { WebSocketService } from '../../src/services/webSocketService';
import type { Song } from '../../src/types';
import { Daemon, until } from '../daemon';
import { Proxy } from '../proxy';
import { STORES, type Stores } from './stores';

let stores: Stores;
let daemon: Daemon;
const proxies: Proxy[] = [];
const ends: (() => void)[] = [];
let songs = 0;

afterEach(async () => {
  for (const end of ends.splice(0)) end();
  for (const proxy of proxies.splice(0)) await proxy.stop();
});

interface Desk {
  readonly song: Song;
  readonly store: SongStore;
  readonly proxy: Proxy;
  /** What an editor has that only applies the changes that it is told. */
  editor: string;
}

/** The song of this test as that user has it open, with a line to the daemon of their own. */
async function open(user: string): Promise<Desk> {
  if (proxies.length === 0) songs += 1;
  const proxy = await Proxy.start(daemon.port);
  proxies.push(proxy);
  const tab = new TabName({ storage: null, locks: null, openChannel: null });
  const service = new WebSocketService({ url: proxy.url, tab, backoff: new Backoff(() => 0.1) });
  const store = stores.open();
  const realtime = createRealtime({
    ...{ useFirebase: true, useWebSocket: true, service, store, tab, fallBackAfterMs: 300 },
    ...{ token: daemon.token(user), user: { id: user, name: user } },
  });
  ends.push(() => {
    realtime.close();
    service.destroy();
  });
  const song = await realtime.openSong(`song-${songs}`);
  await until(() => song.getSnapshot().state === 'live');
  const desk: Desk = { song, store, proxy, editor: text(song) };
  song.onChange(({ operation }) => {
    let rest = desk.editor;
    desk.editor = '';
    for (const component of operation) {
      if (typeof component === 'string') desk.editor += component;
      else {
        if (component > 0) desk.editor += rest.slice(0, component);
        rest = rest.slice(Math.abs(component));
      }
    }
    desk.editor += rest;
  });
  return desk;
}

const text = (song: Song): string => song.getSnapshot().text;
const append = (song: Song, more: string): void => {
  song.setText(text(song) + more);
};
const present = (song: Song): string =>
  song
    .getSnapshot()
    .participants.map((one) => one.user_id)
    .sort()
    .join();
const stored = async ({ store }: Desk): Promise<StoredSong | null> =>
  store.changeSong(`song-${songs}`, () => null);
const isMirrored = async (desk: Desk): Promise<boolean> => {
  const song = await stored(desk);
  return song?.text === text(desk.song) && song.daemon?.text === song.text;
};
const cut = (...desks: Desk[]): void => {
  for (const { proxy } of desks) {
    proxy.isDown = true;
    proxy.cut();
  }
};
const mend = (...desks: Desk[]): void => {
  for (const { proxy } of desks) proxy.isDown = false;
};
/** Whether a song is in a state, or was for a moment that nobody looked. */
const hasBeen = (song: Song, state: string): (() => boolean) => {
  let was = false;
  song.subscribe(() => {
    was ||= song.getSnapshot().state === state;
  });
  return () => was;
};
const times = (whole: string, part: string): number => whole.split(part).length - 1;

describe.each(STORES)('%s', (_, start, options) => {
  beforeAll(async () => {
    stores = await start();
    daemon = await Daemon.start();
  });

  afterAll(async () => {
    await daemon.stop();
    await stores.stop();
  });

  test(
    'with both, what the daemon has is mirrored, once, and nobody is present twice',
    options,
    async () => {
      const [ada, bob] = [await open('ada'), await open('bob')];
      append(ada.song, 'Hello ');
      await until(() => text(bob.song) === 'Hello ');
      append(bob.song, 'World');
      await until(() => text(ada.song) === 'Hello World');
      await until(() => isMirrored(ada), 'mirrored');
      expect(text(ada.song)).toBe('Hello World');
      expect([present(ada.song), present(bob.song)]).toEqual(['ada,bob', 'ada,bob']);
      expect([ada.editor, bob.editor]).toEqual(['Hello World', 'Hello World']);
    },
  );

  test(
    'while the daemon is away songs go on in Firebase, and come back with nothing twice',
    options,
    async () => {
      const [ada, bob] = [await open('ada'), await open('bob')];
      append(ada.song, 'one ');
      await until(() => text(bob.song) === 'one ');
      const isOffline = hasBeen(ada.song, 'offline');
      cut(ada, bob);
      await until(isOffline);
      // Before Firebase has taken over, if this is soon enough.
      append(ada.song, 'two ');
      await until(() => text(bob.song).includes('two '));
      append(bob.song, 'three ');
      await until(() => text(ada.song).includes('three '));
      expect(present(ada.song)).toBe('ada,bob');
      const away = text(ada.song);
      mend(ada, bob);
      const eve = await open('eve');
      await until(() => text(eve.song) === away);
      await until(() => isMirrored(ada), 'mirrored');
      await until(() => [ada, bob, eve].every(({ song }) => present(song) === 'ada,bob,eve'));
      append(eve.song, 'four ');
      await until(() => [ada, bob].every(({ song }) => text(song).includes('four ')));
      for (const { song, editor } of [ada, bob, eve]) {
        for (const word of ['one ', 'two ', 'three ', 'four '])
          expect(times(text(song), word)).toBe(1);
        expect(editor).toBe(text(song));
      }
    },
  );

  test('who alone cannot reach the daemon still edits the same song', options, async () => {
    const [ada, bob] = [await open('ada'), await open('bob')];
    append(ada.song, 'one ');
    await until(() => text(bob.song) === 'one ' && isMirrored(ada));
    await until(() => isMirrored(ada), 'mirrored');
    cut(bob);
    await until(() => present(bob.song) === 'bob', 'bob is in Firebase');
    append(bob.song, 'two ');
    await until(() => text(ada.song) === 'one two ');
    append(ada.song, 'three ');
    await until(() => text(bob.song) === 'one two three ');
    mend(bob);
    await until(() => present(bob.song) === 'ada,bob');
    await until(() => text(bob.song) === 'one two three ');
    expect([ada.editor, bob.editor]).toEqual(['one two three ', 'one two three ']);
  });

  test('what was edited in Firebase by somebody who is gone is not lost', options, async () => {
    const [ada, bob] = [await open('ada'), await open('bob')];
    append(ada.song, 'one ');
    await until(() => isMirrored(ada), 'mirrored');
    cut(ada, bob);
    await until(() => present(bob.song) === 'bob' || present(bob.song) === 'ada,bob');
    append(bob.song, 'two ');
    await until(async () => (await stored(bob))?.text === 'one two ');
    bob.song.close();
    mend(ada);
    await until(() => isMirrored(ada), 'mirrored');
    expect(text(ada.song)).toBe('one two ');
  });

  test(
    'who has Firebase alone edits with the others, and one of them carries it',
    options,
    async () => {
      const [ada, eve] = [await open('ada'), await open('eve')];
      append(ada.song, 'one ');
      await until(() => isMirrored(ada), 'mirrored');
      await until(() => text(eve.song) === 'one ');
      // Both of them at the same moment.
      const dice = vi.spyOn(Math, 'random').mockReturnValue(0);
      const realtime = createRealtime({
        ...{ useFirebase: true, useWebSocket: false, store: stores.open() },
        ...{
          user: { id: 'bob' },
          tab: new TabName({ storage: null, locks: null, openChannel: null }),
        },
      });
      ends.push(() => {
        realtime.close();
      });
      const bob = await realtime.openSong(`song-${songs}`);
      await until(() => text(bob) === 'one ');
      append(bob, 'two ');
      await until(() => text(ada.song) === 'one two ' && text(eve.song) === 'one two ');
      append(eve.song, 'three ');
      await until(() => text(bob) === 'one two three ');
      await until(() => isMirrored(ada), 'mirrored');
      expect([text(ada.song), ada.editor, eve.editor]).toEqual(Array(3).fill('one two three '));
      dice.mockRestore();
    },
  );

  test(
    'what waits for the daemon in this tab is not taken for what waits for Firebase',
    options,
    async () => {
      const kept = new Map<string, string>();
      vi.stubGlobal('sessionStorage', {
        getItem: (key: string) => kept.get(key) ?? null,
        setItem: (key: string, value: string) => kept.set(key, value),
        removeItem: (key: string) => kept.delete(key),
      });
      const ada = await open('ada');
      append(ada.song, 'one ');
      await until(() => isMirrored(ada), 'mirrored');
      const isOffline = hasBeen(ada.song, 'offline');
      cut(ada);
      await until(isOffline);
      append(ada.song, 'two ');
      await until(() => [...kept.values()].some((copy) => copy.includes('two ')), 'kept');
      await until(async () => (await stored(ada))?.text === 'one two ');
      mend(ada);
      await until(() => isMirrored(ada), 'mirrored');
      const bob = await open('bob');
      await until(() => text(bob.song) === 'one two ');
      await until(() => present(ada.song) === 'ada,bob');
      expect([text(ada.song), ada.editor]).toEqual(['one two ', 'one two ']);
      vi.unstubAllGlobals();
    },
  );
});
