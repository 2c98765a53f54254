import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';

import { openSong } from '../../src/song';
import type { ErrorCode, Song, SongSnapshot } from '../../src/types';
import { HeldRoom, refusal, updateOf } from './heldRoom';

let room: HeldRoom;
let song: Song;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  room = new HeldRoom();
  song = openSong(room, 'song', { storage: null, now: () => 0 });
});
afterEach(() => {
  song.close();
  vi.useRealTimers();
});

const look = (): SongSnapshot => song.getSnapshot();

describe('a refusal', () => {
  test.each<ErrorCode>(['rate_limited', 'unavailable', 'internal'])(
    'for now (%s) is waited for, and the same is sent again',
    async (code) => {
      room.joinText('');
      song.edit(['x']);
      await room.refuse(refusal(code, 700));
      expect(look()).toMatchObject({ text: 'x', unsent: 1, error: { code } });
      song.edit(['y']);
      await vi.advanceTimersByTimeAsync(699);
      expect(room.requests.length).toBe(1);
      await vi.advanceTimersByTimeAsync(1);
      expect(room.requests.map(({ payload }) => payload)).toEqual([
        room.requests[0]?.payload,
        room.requests[0]?.payload,
      ]);
      await room.answer(1);
      await room.answer(2);
      expect(look()).toMatchObject({ text: 'yx', unsent: 0, error: null });
    },
  );

  test('for good leaves the text on the screen, unsent, and says why', async () => {
    room.joinText('la');
    song.edit([2, '!']);
    room.user.event('permission_changed', { room_id: 'song', permission: 'read' });
    await room.refuse(refusal('forbidden'));
    expect(look()).toMatchObject({ text: 'la!', unsent: 1, error: { code: 'forbidden' } });
    room.update(1, ['x']);
    expect([look().text, room.requests.length]).toEqual(['xla!', 1]);
    room.user.event('permission_changed', { room_id: 'song', permission: 'edit' });
    expect(room.requests.length).toBe(2);
    expect(room.last.payload).toMatchObject({ seq: 1, revision: 1 });
    await room.answer(2);
    expect(look()).toMatchObject({ unsent: 0, error: null });
  });

  test('for good can be undone, also by who may not edit any more', async () => {
    room.joinText('la');
    song.edit([2, '!']);
    room.user.event('permission_changed', { room_id: 'song', permission: 'read' });
    await room.refuse(refusal('forbidden'));
    expect(song.undo()).toBe(true);
    expect(look()).toMatchObject({ text: 'la', unsent: 0, error: null });
    expect(room.requests.length).toBe(1);
    expect(song.redo()).toBe(false);
  });

  test('of a text that is too long is over when it has become shorter', async () => {
    room.joinText('la');
    song.edit([2, ' la la']);
    await room.refuse(refusal('document_too_large'));
    expect(look()).toMatchObject({ unsent: 1, error: { code: 'document_too_large' } });
    song.edit([5, -3]);
    expect(room.last.payload).toMatchObject({
      seq: 1,
      operation: [{ type: 'insert', position: 2, content: ' la' }],
    });
  });

  test('of an event that is too long sends less', async () => {
    room.joinText('');
    song.edit(['x'.repeat(8000)]);
    await room.refuse(refusal('message_too_large'));
    expect(JSON.stringify(room.last.payload).length).toBeLessThan(4700);
    expect(look()).toMatchObject({ unsent: 1, error: null });
  });

  test('of an operation that makes no sense there asks for the text once', async () => {
    room.joinText('la', 3);
    song.edit([2, '!']);
    await room.refuse(refusal('invalid_operation'));
    expect(room.requests.length).toBe(1);
    room.state('la la', 5, 9);
    expect(room.last.payload).toMatchObject({
      ...{ seq: 10, revision: 5 },
      operation: [{ type: 'insert', position: 2 }],
    });
    await room.refuse(refusal('invalid_operation'));
    expect(look()).toMatchObject({ unsent: 1, error: { code: 'invalid_operation' } });
    await vi.advanceTimersByTimeAsync(60_000);
    expect([room.requests.length, room.rejoins]).toEqual([2, 0]);
  });

  test('of a revision waits for the text, and asks for it when it does not come', async () => {
    room.joinText('la', 3);
    song.edit([2, '!']);
    await room.refuse(refusal('stale_revision'));
    await vi.advanceTimersByTimeAsync(3000);
    expect([room.rejoins, room.user.wish()]).toEqual([1, { document: true }]);
    room.joinText('la', 4);
    expect(room.last.payload).toMatchObject({ seq: 1, revision: 4 });
  });

  test('that crossed the text it was to be made on needs no other', async () => {
    room.joinText('la', 3);
    song.edit([2, '!']);
    room.state('la', 4);
    expect(room.requests.length).toBe(1);
    await room.refuse(refusal('stale_revision'));
    expect(room.last.payload).toMatchObject({ seq: 1, revision: 4 });
  });
});

describe('a daemon that makes no sense', () => {
  test('is asked again for what was left out', async () => {
    room.joinText('la');
    song.edit([2, '!']);
    room.update(2, ['x']);
    await vi.advanceTimersByTimeAsync(0);
    expect([room.rejoins, room.user.wish()]).toEqual([1, { revision: 0 }]);
    expect(look()).toMatchObject({ text: 'la!', error: null });
    room.join({ operations: [updateOf(1, ['y']), updateOf(2, ['x'])], revision: 2 });
    expect(look()).toMatchObject({ text: 'xyla!', state: 'live' });
  });

  test.each([
    [{ operations: [{ type: 'delete', position: 0, length: 99 }] }],
    [{ operations: 'x' }],
    [{ operations: [null] }],
  ])('does not touch the text: %j', async (fields) => {
    room.joinText('la');
    song.edit([2, '!']);
    room.user.event('collaboration_update', { ...updateOf(1, []), ...fields } as never);
    await vi.advanceTimersByTimeAsync(0);
    expect([look().text, room.rejoins]).toEqual(['la!', 1]);
    expect(room.user.wish()).toEqual({ document: true });
  });

  test('for long is asked more and more seldom, and the person is told', async () => {
    room.joinText('la');
    song.edit([2, '!']);
    for (let times = 0; times < 5; times++) {
      room.update(9, ['x']);
      await vi.advanceTimersByTimeAsync(60_000);
      room.join({ revision: 7, operations: [] });
    }
    expect(room.rejoins).toBeLessThan(20);
    expect(look()).toMatchObject({ text: 'la!', unsent: 1, error: { code: 'protocol' } });
    room.joinText('la', 7);
    await room.answer(8);
    expect(look()).toMatchObject({ text: 'la!', unsent: 0, error: null, state: 'live' });
  });

  test('says old things, and is not listened to', () => {
    room.joinText('la', 5);
    room.update(4, ['x']);
    room.update(5, ['x']);
    expect([look().text, look().revision, room.rejoins]).toEqual(['la', 5, 0]);
  });

  test('has lost what it knew: undo brings it back', () => {
    room.joinText('la la', 5);
    song.edit([5, '!']);
    room.state('', 0);
    expect(look()).toMatchObject({ text: '!', revision: 0, error: { code: 'stale_revision' } });
    expect(song.undo()).toBe(true);
    expect(look()).toMatchObject({ text: 'la la!', error: null });
  });

  test('answers without a revision, and is asked again', async () => {
    room.joinText('la');
    song.edit([2, '!']);
    room.last.resolve({ ok: true });
    await vi.advanceTimersByTimeAsync(0);
    expect([room.rejoins, look().text]).toEqual([1, 'la!']);
  });
});
