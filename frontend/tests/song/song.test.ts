import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';

import { openSong } from '../../src/song';
import {
  RealtimeError,
  type ErrorCode,
  type Song,
  type SongSnapshot,
  type TextChange,
} from '../../src/types';
import type { SessionStore } from '../../src/tabCopy';
import { MemoryStore } from '../simulation';
import { HeldRoom, refusal, settle, updateOf } from './heldRoom';

let room: HeldRoom;
let song: Song;
let store: MemoryStore;
let storage: SessionStore;
let changes: TextChange[];
let told: number;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  store = new MemoryStore();
  open();
});
afterEach(() => {
  song.close();
  vi.useRealTimers();
});

function open(): void {
  room = new HeldRoom();
  changes = [];
  told = 0;
  storage = store.load();
  song = openSong(room, 'song', { storage, now: () => 0 });
  song.onChange((change) => changes.push(change));
  song.subscribe(() => (told += 1));
}

const look = (): SongSnapshot => song.getSnapshot();

describe('a snapshot', () => {
  test('is the same object while nothing has changed', () => {
    expect(look()).toBe(look());
    expect(look()).toMatchObject({ state: 'loading', text: '', permission: null });
    room.joinText('la');
    const before = look();
    expect(before).toMatchObject({ state: 'live', text: 'la', permission: 'edit' });
    const count = told;
    room.user.event('save_state', { room_id: 'song', state: 'saved', revision: 0 });
    expect(look()).toMatchObject({ saveState: 'saved' });
    expect(told).toBe(count + 1);
    const after = look();
    room.user.event('save_state', { room_id: 'song', state: 'saved', revision: 0 });
    expect(look()).toBe(after);
    expect(told).toBe(count + 1);
  });

  test('is as new as the change that is told', () => {
    room.joinText('la');
    const seen: string[] = [];
    song.onChange(() => seen.push(look().text));
    song.edit([2, '!']);
    room.update(1, ['x']);
    expect(seen).toEqual(['la!', 'xla!']);
  });

  test('tells what is unsent, and that the link is gone', async () => {
    room.joinText('la');
    song.edit([2, '!']);
    expect(look().unsent).toBe(1);
    room.last.reject(refusal('connection_lost'));
    room.user.lost(refusal('connection_lost'));
    await settle();
    song.edit([3, '!']);
    expect(look()).toMatchObject({ state: 'offline', text: 'la!!', unsent: 2, error: null });
    expect(room.user.wish()).toEqual({ revision: 0 });
    room.join({ operations: [updateOf(1, [2, '!'], 'me', 1)], revision: 1, last_seq: 1 });
    expect(room.last.payload).toMatchObject({ seq: 2, revision: 1 });
    await room.answer(2);
    expect(look()).toMatchObject({ state: 'live', unsent: 0, revision: 2 });
  });

  test.each<[ErrorCode, string]>([
    ['forbidden', 'refused'],
    ['room_full', 'refused'],
    ['token_expired', 'offline'],
    ['rate_limited', 'offline'],
  ])('after %s is %s, and says why', (code, state) => {
    room.joinText('la');
    room.user.lost(refusal(code));
    expect(look()).toMatchObject({ state, text: 'la', error: { code } });
    room.join();
    expect(look()).toMatchObject({ state: 'live', error: null });
  });
});

describe('an edit', () => {
  test('before the text is there, or without permission, is refused', () => {
    expect(() => {
      song.edit(['x']);
    }).toThrow(RangeError);
    room.join({ document: { text: 'la' }, permission: 'read' });
    expect(() => {
      song.edit(['x']);
    }).toThrow(RealtimeError);
    room.user.event('permission_changed', { room_id: 'song', permission: 'edit' });
    song.edit(['x']);
    expect(look().text).toBe('xla');
  });

  test('that does not fit the text changes nothing', () => {
    room.joinText('🎸');
    expect(() => {
      song.edit([1, 'x']);
    }).toThrow(RangeError);
    expect(() => {
      song.setText('\ud83c');
    }).toThrow(RangeError);
    expect([look().text, changes.length, room.requests.length]).toEqual(['🎸', 1, 0]);
  });

  test('is one request at a time', async () => {
    room.joinText('');
    for (const letter of 'hello') song.edit([letter]);
    expect(room.requests.length).toBe(1);
    room.update(1, ['x']);
    expect(room.requests.length).toBe(1);
    await room.answer(2);
    expect(room.requests.length).toBe(2);
    expect(room.last.payload).toEqual({
      ...{ seq: 2, revision: 2 },
      operation: [{ type: 'insert', position: 0, content: 'olle' }],
    });
  });

  test('of a listener is heard by all in order', () => {
    room.joinText('');
    const heard: string[] = [];
    let isFirst = true;
    song.onChange(({ operation }) => {
      heard.push(`one ${JSON.stringify(operation)}`);
      if (!isFirst) return;
      isFirst = false;
      song.edit(['!']);
    });
    song.onChange(({ operation }) => heard.push(`two ${JSON.stringify(operation)}`));
    room.update(1, ['x']);
    expect(heard).toEqual(['one ["x"]', 'one ["!"]', 'two ["x"]', 'two ["!"]']);
  });

  test('is not harmed by a listener that throws', () => {
    const silenced = vi.spyOn(console, 'error').mockImplementation(() => undefined);
    room.joinText('');
    const texts: string[] = [];
    song.onChange(() => {
      throw new Error('mine');
    });
    song.onChange(() => texts.push(look().text));
    song.edit(['x']);
    expect([texts, room.requests.length]).toEqual([['x'], 1]);
    expect(silenced).toHaveBeenCalledOnce();
    silenced.mockRestore();
  });
});

describe('a page that is loaded again', () => {
  test('goes on with what was not sent', async () => {
    room.joinText('la', 3, 8);
    song.edit([2, '!']);
    song.edit([3, '!']);
    await vi.advanceTimersByTimeAsync(100);
    expect(store.copies).toBe(1);
    song.close();
    open();
    expect(look()).toMatchObject({ state: 'offline', text: 'la!!', unsent: 2 });
    expect(room.user.wish()).toEqual({ revision: 3 });
    song.edit([4, '?']);
    room.join({ operations: [updateOf(4, [2, '!'], 'me', 9)], revision: 4, last_seq: 9 });
    expect(room.last.payload).toEqual({
      ...{ seq: 10, revision: 4 },
      operation: [{ type: 'insert', position: 3, content: '!?' }],
    });
    await room.answer(5);
    await vi.advanceTimersByTimeAsync(100);
    expect([look().text, store.copies]).toEqual(['la!!?', 1]);
    song.close();
    expect(store.copies).toBe(0);
  });

  test('has its text at once, and may do with it what it might before', async () => {
    room.join({ document: { text: 'la' }, permission: 'read', revision: 3 });
    await vi.advanceTimersByTimeAsync(100);
    open();
    expect(look()).toMatchObject({ state: 'offline', text: 'la', unsent: 0, permission: 'read' });
    expect(look().wasJoined).toBe(false);
    expect(room.user.wish()).toEqual({ revision: 3 });
    room.join({ operations: [updateOf(4, [2, '!'])], revision: 4 });
    expect(look()).toMatchObject({ state: 'live', text: 'la!', permission: 'edit' });
    expect(look().wasJoined).toBe(true);
  });

  test('knows what it sent a moment before it was gone', async () => {
    room.joinText('la', 3, 8);
    await vi.advanceTimersByTimeAsync(100);
    song.edit([2, '!']);
    open();
    room.join({ operations: [updateOf(4, [2, '!'], 'me', 9)], revision: 4, last_seq: 9 });
    expect(look()).toMatchObject({ text: 'la!', unsent: 0 });
    expect(room.requests).toEqual([]);
  });

  test.each(['{', 'null', '{"synced": 5}', '[]'])('is not harmed by %j in its storage', (junk) => {
    song.close();
    store.items.set('chordme.song.song.me', junk);
    open();
    expect(look()).toMatchObject({ state: 'loading', text: '' });
    room.joinText('la');
    expect(look().text).toBe('la');
  });

  test('has a name of its own if it was duplicated', () => {
    room.joinText('la', 3, 8);
    song.edit([2, '!']);
    song.close();
    open();
    room.clientId = 'copy';
    room.join({ revision: 3, operations: [], last_seq: 0 });
    expect(room.last.payload).toMatchObject({ seq: 1, revision: 3 });
  });

  test('lives without storage that is forbidden', async () => {
    song.close();
    const fail = (): never => {
      throw new Error('SecurityError');
    };
    room = new HeldRoom();
    song = openSong(room, 'song', {
      storage: { getItem: fail, setItem: fail, removeItem: fail },
    });
    room.joinText('la');
    song.edit(['x']);
    await vi.advanceTimersByTimeAsync(1000);
    expect(look()).toMatchObject({ text: 'xla', unsent: 1, error: null });
  });

  test('finds nothing that is older than what could not be saved any more', async () => {
    song.close();
    open();
    room.joinText('la');
    song.edit(['x']);
    expect(store.copies).toBe(1);
    storage.setItem = () => {
      throw new Error('QuotaExceededError');
    };
    song.edit(['y']);
    await vi.advanceTimersByTimeAsync(100);
    expect([store.copies, look().text]).toEqual([0, 'yxla']);
  });

  test('keeps one of two songs of a room that it opens', async () => {
    room.joinText('la');
    song.edit([2, '!']);
    await vi.advanceTimersByTimeAsync(100);
    const other = openSong(new HeldRoom(), 'song', { storage });
    expect(other.getSnapshot().text).toBe('');
    other.close();
    expect(store.copies).toBe(1);
  });
});
