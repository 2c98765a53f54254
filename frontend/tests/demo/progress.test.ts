import { expect, test } from 'vitest';
import { progressOf } from '../../demo/progress';
import { unopened } from '../../src/roomSong';
import { RealtimeError, type SongSnapshot } from '../../src/types';

const error = new RealtimeError('room_full', 'The room is full');

test.each<[Partial<SongSnapshot>, boolean, string, string]>([
  [{}, true, 'waiting', 'Opening…'],
  [{}, false, 'waiting', 'Offline'],
  [{ state: 'live' }, true, 'good', 'All saved'],
  [{ state: 'live', unsent: 2 }, true, 'waiting', 'Sending 2 edits…'],
  [{ state: 'live', permission: 'read' }, true, 'good', 'View only'],
  [{ state: 'live', unsent: 1, error }, true, 'bad', '1 edit not sent: The room is full'],
  [{ state: 'offline' }, false, 'waiting', 'Offline'],
  [{ state: 'offline', unsent: 1 }, false, 'waiting', 'Offline: 1 edit to send'],
  [{ state: 'offline', unsent: 3 }, true, 'waiting', 'No connection: 3 edits to send'],
  [{ state: 'refused', error }, true, 'bad', 'The room is full'],
  [{ state: 'refused' }, true, 'bad', 'This song cannot be opened'],
])('of %j, online %s, it is said %s: %s', (song, isOnline, tone, text) => {
  expect(progressOf({ ...unopened('song'), ...song }, isOnline)).toEqual({ tone, text });
});
