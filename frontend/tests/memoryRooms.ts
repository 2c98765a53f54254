/** Rooms without a link to anybody: a test says what the daemon would. */
import type { RoomJoined, RoomLink, Rooms, RoomUser } from '../src/types';

export class MemoryRooms implements Rooms {
  readonly users: RoomUser[] = [];
  readonly requests: { event: string; payload: object }[] = [];
  readonly userId = 'me';
  released = 0;

  hold(roomId: string, user: RoomUser): RoomLink {
    this.users.push(user);
    return {
      roomId,
      clientId: 'me',
      request: (event, payload) => {
        this.requests.push({ event, payload });
        return new Promise(() => undefined);
      },
      rejoin: () => undefined,
      moveCursor: () => undefined,
      release: () => {
        this.released += 1;
      },
    };
  }

  /** The last who holds a room has joined it. */
  join(text: string, rest: Partial<RoomJoined> = {}): void {
    this.users[this.users.length - 1]?.joined({
      room_id: 'song',
      participant_count: 1,
      permission: 'edit',
      participants: [],
      revision: 0,
      last_seq: 0,
      document: { text },
      ...rest,
    });
  }

  /** Somebody else has put something in. */
  insert(revision: number, position: number, content: string): void {
    this.users[this.users.length - 1]?.event('collaboration_update', {
      room_id: 'song',
      user_id: 'other',
      timestamp: 1,
      operation_id: `other-${revision}`,
      revision,
      operations: [{ type: 'insert', position, content }],
      client_id: 'other',
      seq: revision,
    });
  }
}
