// @vitest-environment happy-dom
import { afterEach, beforeEach, expect, test } from 'vitest';

import { openSong } from '../../src/song';
import type { SessionStore } from '../../src/tabCopy';
import type { Song } from '../../src/types';
import { HeldRoom } from './heldRoom';

let song: Song;
let room: HeldRoom;

const items = new Map<string, string>();
const full = { isFull: false };
const storage: SessionStore = {
  getItem: (key) => items.get(key) ?? null,
  setItem: (key, value) => {
    if (full.isFull) throw new DOMException('full', 'QuotaExceededError');
    items.set(key, value);
  },
  removeItem: (key) => {
    items.delete(key);
  },
};

beforeEach(() => {
  items.clear();
  full.isFull = false;
  room = new HeldRoom();
  song = openSong(room, 'song', { storage });
  room.joinText('la');
});
afterEach(() => {
  song.close();
});

/** Whether a person who leaves the page is asked if they mean it. */
function isAskedAtLeaving(): boolean {
  return !window.dispatchEvent(new Event('beforeunload', { cancelable: true }));
}

test('what was typed last is kept when the page is left', () => {
  song.edit(['x']);
  song.edit(['y']);
  window.dispatchEvent(new Event('pagehide'));
  const copy = JSON.parse(items.get('chordme.song.song.me') ?? '') as object;
  expect(copy).toMatchObject({ synced: 'la', out: ['x'], waiting: ['y'] });
});

test('who leaves a page that cannot keep what is unsent is asked if they mean it', () => {
  expect(isAskedAtLeaving()).toBe(false);
  song.edit(['x']);
  expect(isAskedAtLeaving()).toBe(false);
  full.isFull = true;
  expect(isAskedAtLeaving()).toBe(true);
  song.close();
  expect(isAskedAtLeaving()).toBe(false);
});

test('what somebody else has left unsent, and could not be kept, is asked about, too', () => {
  song.edit(['x']);
  full.isFull = true;
  room.user.identified('bob');
  full.isFull = false;
  room.joinText('la');
  expect(isAskedAtLeaving()).toBe(true);
  room.user.identified('me');
  expect(isAskedAtLeaving()).toBe(false);
});
