import { describe, expect, it, vi } from 'vitest';
import { Operations } from '../../src/hooks/operations';
import { sharedSong } from '../../src/roomSong';
import { MemoryRooms } from '../memoryRooms';

function begun(text = 'abc') {
  const rooms = new MemoryRooms();
  const shared = sharedSong(rooms, 'song');
  const operations = new Operations(shared);
  const end = operations.subscribe(() => undefined);
  rooms.join(text);
  const told = () =>
    operations.getSnapshot().operations.map(({ type, position, content }) => ({
      type,
      position,
      content,
    }));
  return { rooms, shared, operations, end, told };
}

const insert = (position: number, content: string) => ({
  type: 'insert' as const,
  position,
  content,
});

describe('what a component of its own text is told', () => {
  it('does not begin with the text', () => {
    const { operations, shared } = begun();
    expect(shared.getSnapshot().text).toBe('abc');
    expect(operations.getSnapshot().operations).toEqual([]);
  });

  it('is everything since it was last told, once', () => {
    const { rooms, operations, told } = begun();
    rooms.insert(1, 0, 'x');
    rooms.insert(2, 1, 'y');
    expect(told()).toEqual([insert(0, 'x'), insert(1, 'y')]);
    operations.delivered(operations.getSnapshot().operations);
    expect(told()).toEqual([insert(0, 'x'), insert(1, 'y')]);
    rooms.insert(3, 2, 'z');
    expect(told()).toEqual([insert(2, 'z')]);
  });

  it('is not taken as told when only an older state of it was shown', () => {
    const { rooms, operations, told } = begun();
    rooms.insert(1, 0, 'x');
    const older = operations.getSnapshot().operations;
    rooms.insert(2, 1, 'y');
    operations.delivered(older);
    rooms.insert(3, 2, 'z');
    expect(told()).toEqual([insert(0, 'x'), insert(1, 'y'), insert(2, 'z')]);
  });

  it('is nothing of what it sends, but what others of the page do', () => {
    const { rooms, shared, operations, told } = begun();
    const id = operations.send({ type: 'insert', position: 3, content: 'd' });
    expect(shared.getSnapshot().text).toBe('abcd');
    expect(rooms.requests).toHaveLength(1);
    expect(operations.getSnapshot().pendingOperations).toEqual([id]);
    expect(told()).toEqual([]);
    shared.song?.edit(['> ']);
    expect(told()).toEqual([insert(0, '> ')]);
  });

  it('what happened while nobody listened is one difference', () => {
    const { rooms, operations, end, told, shared } = begun();
    const { release } = shared.hold();
    end();
    rooms.insert(1, 1, 'x');
    rooms.insert(2, 2, 'y');
    operations.subscribe(() => undefined);
    expect(told()).toEqual([insert(1, 'xy')]);
    release();
  });

  it('a song that was closed meanwhile, and is opened again, comes as one difference too', () => {
    vi.useFakeTimers();
    const { rooms, operations, end, told } = begun();
    end();
    vi.advanceTimersByTime(1000);
    expect(rooms.released).toBe(1);
    operations.subscribe(() => undefined);
    expect(told()).toEqual([]);
    rooms.join('abcd');
    expect(told()).toEqual([insert(3, 'd')]);
    vi.useRealTimers();
  });

  it('the first that somebody puts into an empty song is told', () => {
    const { rooms, told } = begun('');
    rooms.insert(1, 0, 'x');
    expect(told()).toEqual([insert(0, 'x')]);
  });

  it('waits with what is sent until the text is there', () => {
    const rooms = new MemoryRooms();
    const shared = sharedSong(rooms, 'song');
    const operations = new Operations(shared);
    operations.subscribe(() => undefined);
    operations.send({ type: 'insert', position: 3, content: 'd' });
    rooms.join('abc');
    expect(shared.getSnapshot().text).toBe('abcd');
    expect(operations.getSnapshot().operations).toEqual([]);
  });

  it('what is no operation is told, and changes nothing', () => {
    const { operations, shared } = begun();
    operations.send({ type: 'format', position: 0, length: 1 });
    expect(operations.getSnapshot().error?.code).toBe('invalid_operation');
    expect(operations.getSnapshot().pendingOperations).toEqual([]);
    operations.send({ type: 'retain' });
    expect(operations.getSnapshot().error).toBeNull();
    expect(shared.getSnapshot().text).toBe('abc');
  });
});
