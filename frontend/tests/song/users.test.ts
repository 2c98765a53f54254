/** Several people sign in one after the other in one tab: to each their own. */

import { afterEach, beforeEach, expect, test, vi } from 'vitest';

import { FlatOperations } from '../../src/services/flatOperations';
import { openSong } from '../../src/song';
import type { SessionStore } from '../../src/tabCopy';
import type { Song, SongSnapshot } from '../../src/types';
import { MemoryStore } from '../simulation';
import { HeldRoom, refusal, updateOf } from './heldRoom';

let room: HeldRoom;
let song: Song;
let store: MemoryStore;
let storage: SessionStore;
/** What an editor shows. */
let shown: string;

beforeEach(() => {
  store = new MemoryStore();
  open('ada');
});
afterEach(() => {
  song.close();
});

/** Load the page; `userId` is who is known to be signed in. */
function open(userId: string | null): void {
  room = new HeldRoom();
  room.userId = userId;
  storage = store.load();
  song = openSong(room, 'song', { storage, now: () => 0 });
  shown = look().text;
  song.onChange(() => (shown = look().text));
}

const look = (): SongSnapshot => song.getSnapshot();

/** Ada has typed `la!`, of which the daemon has `la`, and the link is gone. */
function leaveUnsent(): void {
  room.joinText('la', 3, 8);
  song.edit([2, '!']);
  room.user.lost(refusal('connection_lost'));
}

test('what one has not sent is not shown to the next, is not sent by them, and comes back', () => {
  leaveUnsent();
  room.user.identified('bob');
  expect(look()).toMatchObject({ state: 'loading', text: '', unsent: 0, userId: 'bob' });
  expect(look()).toMatchObject({ permission: null, canUndo: false, wasJoined: false });
  expect(shown).toBe('');
  expect(song.undo()).toBe(false);
  expect(room.user.wish()).toEqual({ document: true });
  const asked = room.requests.length;
  room.joinText('la', 3);
  expect([look().text, look().unsent, room.requests.length]).toEqual(['la', 0, asked]);
  room.user.lost(refusal('connection_lost'));
  room.user.identified('ada');
  expect(look()).toMatchObject({ state: 'offline', text: 'la!', unsent: 1, userId: 'ada' });
  expect(shown).toBe('la!');
  room.join({ revision: 3, operations: [], last_seq: 8 });
  expect(room.last.payload).toMatchObject({ seq: 9, revision: 3 });
});

test('a page that is loaded again begins with what its last user left', () => {
  leaveUnsent();
  open(null);
  expect(look()).toMatchObject({ text: 'la!', unsent: 1, userId: 'ada' });
  room.user.identified('bob');
  expect(look()).toMatchObject({ text: '', userId: 'bob' });
  open(null);
  expect(look()).toMatchObject({ text: '', unsent: 0, userId: 'bob' });
  open('ada');
  expect(look()).toMatchObject({ text: 'la!', unsent: 1 });
});

test('who is known before the song is opened sees nothing of who was there before', () => {
  leaveUnsent();
  open('bob');
  expect(look()).toMatchObject({ state: 'loading', text: '', userId: 'bob' });
});

test('who is named only now, or again, goes on', () => {
  leaveUnsent();
  const before = look();
  room.user.identified('ada');
  expect(look()).toBe(before);
  song.close();
  store = new MemoryStore();
  open(null);
  void song.sendMessage('hello');
  room.user.identified(7);
  room.joinText('la');
  expect(look()).toMatchObject({ text: 'la', userId: '7' });
  expect(shown).toBe('la');
  room.user.identified('7');
  expect(look()).toMatchObject({ state: 'live', text: 'la' });
});

test('who is there and what is said is not told to the next; what was to be said is refused', async () => {
  const participants = [{ user_id: 'cyd', connections: 1 }];
  room.join({ document: { text: 'la' }, participants });
  const message = { room_id: 'song', user_id: 'cyd', message: 'hi', timestamp: 1, message_id: 1 };
  room.user.event('room_message', message);
  song.moveCursor(1);
  room.user.lost(refusal('connection_lost'));
  const refused = expect(song.sendMessage('mine')).rejects.toMatchObject({ code: 'forbidden' });
  room.user.identified('bob');
  expect(look()).toMatchObject({ participants: [], messages: [], cursors: [] });
  await refused;
  const told = room.cursors.length;
  room.joinText('la');
  expect(room.cursors.length).toBe(told);
});

test('what the next has done in this tab is no answer to what one has sent', () => {
  leaveUnsent();
  room.user.identified('bob');
  room.user.identified('ada');
  // Bob's edit, of the same tab and the same seq as the one that ada's page waits for.
  const his = { ...updateOf(4, ['b'], 'me', 9), user_id: 'bob' };
  room.join({ revision: 4, operations: [his], last_seq: 8 });
  expect(look()).toMatchObject({ text: 'bla!', unsent: 1 });
  expect(room.last.payload).toMatchObject({ seq: 9, revision: 4 });
});

test('what cannot be kept aside in the storage is kept in the page', () => {
  leaveUnsent();
  storage.setItem = () => {
    throw new Error('QuotaExceededError');
  };
  room.user.identified('bob');
  expect([look().text, store.copies]).toEqual(['', 0]);
  room.user.identified('ada');
  expect(look()).toMatchObject({ text: 'la!', unsent: 1 });
});

test('operations that wait for the text are dropped with their user', () => {
  const failed = vi.fn();
  const flat = new FlatOperations(song, { updates: () => [], told: () => undefined, failed });
  flat.send({ type: 'insert', position: 0, content: 'a' });
  room.user.identified('bob');
  flat.send({ type: 'insert', position: 0, content: 'b' });
  room.joinText('');
  expect(look().text).toBe('b');
  expect(failed).not.toHaveBeenCalled();
  flat.close();
});
