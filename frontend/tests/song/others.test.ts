import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';

import { colorOf } from '../../src/people';
import { openSong } from '../../src/song';
import { RealtimeError, type Song, type SongSnapshot } from '../../src/types';
import { HeldRoom, settle } from './heldRoom';

let room: HeldRoom;
let song: Song;
let origins: string[];

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  room = new HeldRoom();
  song = openSong(room, 'song', { storage: null, now: () => 0 });
  origins = [];
  song.onChange(({ origin }) => origins.push(origin));
});
afterEach(() => {
  song.close();
  vi.useRealTimers();
});

const look = (): SongSnapshot => song.getSnapshot();

describe('others', () => {
  const ada = { user_id: 7, name: 'Ada', connections: 1 };
  const cursor = (offset: number, rest: object = {}, revision = 0): void => {
    room.user.event('cursor_moved', {
      ...{ room_id: 'song', user_id: 7, timestamp: 1, client_id: 'ada', revision },
      position: { line: 0, column: offset, offset, ...rest },
    });
  };

  test('come, and take their cursors with them when they go', () => {
    room.join({ document: { text: 'la la' }, participants: [ada] });
    cursor(2, { selectionStart: 2, selectionEnd: 4 });
    expect(look().cursors).toMatchObject([
      { clientId: 'ada', name: 'Ada', offset: 2, selection: [2, 4], color: colorOf(7) },
    ]);
    room.user.event('user_joined', {
      ...{ room_id: 'song', user_id: 'bob', participant_count: 2, name: 'Bob' },
    });
    expect(look().participants.map(({ name }) => name)).toEqual(['Ada', 'Bob']);
    room.user.event('user_left', { room_id: 'song', user_id: 7, participant_count: 1 });
    expect([look().cursors, look().participants.length]).toEqual([[], 1]);
  });

  test('have cursors that move with the text, and with what they type', () => {
    room.join({ document: { text: 'la la' }, participants: [ada] });
    cursor(2, { selectionStart: 2, selectionEnd: 4 });
    song.edit(['xx']);
    expect(look().cursors).toMatchObject([{ offset: 4, selection: [4, 6] }]);
    room.update(1, [2, 'hey'], 'ada');
    expect(look().cursors).toMatchObject([{ offset: 7 }]);
    room.update(2, [5, '!'], 'bob');
    expect(look().cursors).toMatchObject([{ offset: 7 }]);
    // Told before that, and before what is typed here has arrived.
    cursor(2, {}, 1);
    expect(look().cursors).toMatchObject([{ offset: 4, selection: null }]);
  });

  test('that have no revisions have a line and no place', () => {
    room.join({ document: { text: 'la la' }, participants: [ada] });
    room.user.event('cursor_moved', {
      ...{ room_id: 'song', user_id: 7, timestamp: 1, position: { line: 3, column: 1 } },
    });
    expect(look().cursors).toMatchObject([{ offset: null, position: { line: 3 } }]);
  });

  test('are told where the cursor is once all is sent', async () => {
    room.joinText('la\nla');
    song.moveCursor(4, [1, 4]);
    expect(room.cursors).toEqual([
      {
        position: { line: 1, column: 1, offset: 4, selectionStart: 1, selectionEnd: 4 },
        revision: 0,
      },
    ]);
    song.edit([4, '!']);
    song.moveCursor(5);
    room.update(1, ['x']);
    expect(room.cursors.length).toBe(1);
    await room.answer(2);
    expect(room.cursors.slice(1)).toEqual([
      { position: { line: 1, column: 2, offset: 6 }, revision: 2 },
    ]);
  });

  test('say things, each once', () => {
    room.joinText('');
    const message = { room_id: 'song', user_id: 7, message: { hi: 1 }, timestamp: 1 };
    room.user.event('room_message', { ...message, message_id: 1 });
    room.join({
      messages: [
        { ...message, message_id: 1 },
        { ...message, message_id: 2 },
      ],
    });
    expect(look().messages.map(({ message_id }) => message_id)).toEqual([1, 2]);
  });

  test('hear what is said once the room is joined', async () => {
    const said = song.sendMessage('hi');
    expect(room.requests.length).toBe(0);
    room.joinText('');
    await settle();
    expect(room.last).toMatchObject({ event: 'broadcast_message', payload: { message: 'hi' } });
    room.last.resolve({ ok: true });
    await said;
    room.user.lost(null);
    const unsaid = song.sendMessage('ho');
    song.close();
    await expect(unsaid).rejects.toThrow(RealtimeError);
    expect(room.isReleased).toBe(true);
  });

  test('who change the same chord see one of the two', () => {
    const conflicts: object[] = [];
    song.onConflict((conflict) => conflicts.push(conflict));
    room.joinText('la [Am] la');
    song.edit([4, 'G7', -2]);
    room.update(1, [4, 'Dm', -2]);
    expect(look().text).toBe('la [G7] la');
    expect(origins).toEqual(['reset', 'local', 'remote', 'remote']);
    room.user.event('conflict_resolved', {
      ...{ room_id: 'song', revision: 1, kept: 'C', dropped: 'D' },
    });
    expect(conflicts).toEqual([
      { kept: 'G7', dropped: 'Dm' },
      { kept: 'C', dropped: 'D' },
    ]);
  });

  test('keep what the page did, which one cannot undo', () => {
    room.joinText('la');
    song.edit([2, ' di']);
    song.edit(['* '], { isUndoable: false });
    expect(look().text).toBe('* la di');
    song.undo();
    expect(look().text).toBe('* la');
    expect(song.undo()).toBe(false);
    song.redo();
    expect(look().text).toBe('* la di');
  });

  test('keep what they have typed when one undoes', () => {
    room.joinText('');
    song.edit(['mine']);
    room.update(1, ['theirs'], 'a');
    expect(look()).toMatchObject({ text: 'theirsmine', canUndo: true, canRedo: false });
    song.undo();
    expect(look()).toMatchObject({ text: 'theirs', canUndo: false, canRedo: true });
    song.redo();
    expect(look().text).toBe('theirsmine');
    expect(origins).toEqual(['local', 'remote', 'undo', 'redo']);
  });
});
