import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { sharedSong } from '../src/roomSong';
import { RealtimeError } from '../src/types';
import { MemoryRooms } from './memoryRooms';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe('a shared song', () => {
  it('is one for each room of a service, and is not opened by being asked for', () => {
    const rooms = new MemoryRooms();
    expect(sharedSong(rooms, 'a')).toBe(sharedSong(rooms, 'a'));
    expect(sharedSong(rooms, 'a')).not.toBe(sharedSong(rooms, 'b'));
    expect(sharedSong(rooms, 'a')).not.toBe(sharedSong(new MemoryRooms(), 'a'));
    expect(rooms.users).toEqual([]);
    expect(sharedSong(rooms, 'a').getSnapshot().state).toBe('loading');
    expect(sharedSong(rooms, 'a').getSnapshot()).toBe(sharedSong(rooms, 'a').getSnapshot());
  });

  it('is opened for the first, and closed a moment after the last has gone', () => {
    const rooms = new MemoryRooms();
    const shared = sharedSong(rooms, 'song');
    const one = shared.hold();
    const other = shared.hold();
    expect(one.song).toBe(other.song);
    one.release();
    one.release(); // to say it twice is to say it once
    vi.advanceTimersByTime(5000);
    expect([rooms.users.length, rooms.released]).toEqual([1, 0]);
    other.release();
    vi.advanceTimersByTime(999);
    expect(rooms.released).toBe(0);
    vi.advanceTimersByTime(1);
    expect(rooms.released).toBe(1);
    expect(shared.song).toBeNull();
  });

  it('is kept when somebody comes back within that moment, and opened anew after it', () => {
    const rooms = new MemoryRooms();
    const shared = sharedSong(rooms, 'song');
    const first = shared.hold();
    first.release();
    vi.advanceTimersByTime(500);
    const second = shared.hold();
    vi.advanceTimersByTime(5000);
    expect(second.song).toBe(first.song);
    second.release();
    vi.advanceTimersByTime(1000);
    expect(shared.hold().song).not.toBe(first.song);
    expect(rooms.users.length).toBe(2);
  });

  it('of a room that there cannot be is refused, and troubles nobody', () => {
    const rooms = new MemoryRooms();
    const error = new RealtimeError('invalid_room', 'Invalid room ID');
    vi.spyOn(rooms, 'hold').mockImplementation(() => {
      throw error;
    });
    const shared = sharedSong(rooms, 'no room!');
    shared.subscribe(() => undefined)();
    expect(shared.getSnapshot()).toMatchObject({ state: 'refused', error });
    expect(() => shared.hold()).toThrow(error);
  });
});
