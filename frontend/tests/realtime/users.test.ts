/** Songs by daemon and store, and somebody else who signs in. */

import { expect, test } from 'vitest';

import { DualSong } from '../../src/realtime/dualSong';
import { until } from '../daemon';
import { HeldRoom, refusal } from '../song/heldRoom';
import { STORES } from './stores';

test('what one has not sent to the daemon is not written to the store by the next', async () => {
  const stores = await STORES[0]?.[1]();
  if (stores === undefined) throw new Error('there is always a store in memory');
  const room = new HeldRoom();
  const self = { userId: 'bob', name: null, clientId: 'me' };
  const settings = { service: room, store: stores.open(), self, fallBackAfterMs: 20 };
  const song = new DualSong('song', settings);
  const look = () => song.getSnapshot();
  room.joinText('la');
  song.edit([2, ' me']);
  room.user.lost(refusal('connection_lost'));
  room.user.identified('bob');
  expect(look().text).toBe('');
  await until(() => look().state === 'live', 'the stored song is shown');
  song.edit([look().text.length, ' bob']);
  await until(() => look().unsent === 0, 'it is written');
  expect(look().text).not.toContain('me');
  song.close();
  await stores.stop();
});
