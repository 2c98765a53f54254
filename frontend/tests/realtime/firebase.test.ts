import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';

import { createRealtime, realtimeMode, type Realtime } from '../../src/realtime/createRealtime';
import { TabName } from '../../src/services/clientId';
import type { Song } from '../../src/types';
import { until } from '../daemon';
import { STORES, type Stores } from './stores';

let stores: Stores;
let realtimes: Realtime[] = [];
let songs = 0;

afterEach(() => {
  for (const realtime of realtimes) realtime.close();
  realtimes = [];
});

/** The song of this test, as that user has it open in a browser of their own. */
async function open(user: string): Promise<Song> {
  if (realtimes.length === 0) songs += 1;
  const realtime = createRealtime({
    ...{ useFirebase: true, useWebSocket: false, store: stores.open() },
    ...{
      user: { id: user, name: user },
      tab: new TabName({ storage: null, locks: null, openChannel: null }),
    },
  });
  realtimes.push(realtime);
  const song = await realtime.openSong(`song-${songs}`);
  await until(() => song.getSnapshot().state === 'live');
  return song;
}

const text = (song: Song): string => song.getSnapshot().text;

test.each([
  [{}, {}, 'websocket'],
  [{}, { VITE_DATA_SOURCE: 'firebase' }, 'firebase'],
  [{}, { VITE_DATA_SOURCE: 'api' }, 'websocket'],
  [{}, { VITE_USE_FIREBASE: 'true' }, 'firebase'],
  [{}, { VITE_USE_WEBSOCKET: 'true' }, 'websocket'],
  [{}, { VITE_USE_FIREBASE: 'true', VITE_USE_WEBSOCKET: 'true' }, 'both'],
  [{}, { VITE_USE_FIREBASE: 'false', VITE_USE_WEBSOCKET: 'true' }, 'websocket'],
  [{}, { VITE_DATA_SOURCE: 'firebase', VITE_USE_WEBSOCKET: 'true' }, 'both'],
  [{ useFirebase: false }, { VITE_DATA_SOURCE: 'firebase' }, 'websocket'],
  [{ useFirebase: true, useWebSocket: true }, {}, 'both'],
])('told %j and built with %j it is %s', (told, built, mode) => {
  expect(realtimeMode(told, built)).toBe(mode);
});

test('without Firebase there is no need to say who one is; with it there is', async () => {
  const realtime = createRealtime({ useFirebase: true, useWebSocket: false });
  expect(realtime.service).toBeNull();
  await expect(realtime.openSong('song')).rejects.toThrow('who the user is');
});

describe.each(STORES)('%s', (_, start, options) => {
  beforeAll(async () => {
    stores = await start();
  });

  afterAll(async () => {
    await stores.stop();
  });

  test(
    'two edit one song at once, and have one text; who comes later has it, too',
    options,
    async () => {
      const [ada, bob] = [await open('ada'), await open('bob')];
      ada.setText('{title: Song}\n');
      await until(() => text(bob) === text(ada));
      for (const letter of Array.from('ABCDEF')) {
        ada.setText(text(ada) + letter);
        bob.edit([letter.toLowerCase()]);
      }
      await until(() => ada.getSnapshot().unsent === 0 && bob.getSnapshot().unsent === 0);
      await until(() => text(ada) === text(bob));
      expect(text(ada)).toMatch(/^[a-f]{6}\{title: Song\}\nABCDEF$/);
      const eve = await open('eve');
      expect(text(eve)).toBe(text(ada));
    },
  );

  test('who is there is told, each once, and their messages', options, async () => {
    const ada = await open('ada');
    const bob = await open('bob');
    const again = await open('bob');
    const present = (song: Song): string =>
      song
        .getSnapshot()
        .participants.map((one) => one.user_id)
        .sort()
        .join();
    await until(() => [ada, bob, again].every((song) => present(song) === 'ada,bob'));
    again.close();
    await bob.sendMessage({ lists: [[1], [2]] });
    await until(() => ada.getSnapshot().messages.length === 1);
    expect(ada.getSnapshot().messages[0]).toMatchObject({
      ...{ user_id: 'bob', message: { lists: [[1], [2]] } },
    });
    expect(present(ada)).toBe('ada,bob');
    bob.moveCursor(0);
    await until(() => ada.getSnapshot().cursors.length === 1);
    bob.close();
    await until(() => present(ada) === 'ada');
  });
});
