/** A room of which a test says what the daemon would, and how it answers. */

import {
  RealtimeError,
  type CollaborationUpdate,
  type CursorPosition,
  type ErrorCode,
  type FlatOperation,
  type Operation,
  type RoomJoined,
  type RoomLink,
  type Rooms,
  type RoomUser,
} from '../../src/types';
import { toWire } from '../../src/ot';

export interface Request {
  readonly event: string;
  readonly payload: {
    readonly operation?: readonly FlatOperation[];
    readonly seq?: number;
    readonly revision?: number;
    readonly message?: unknown;
  };
  resolve(answer: object): void;
  reject(error: Error): void;
}

export class HeldRoom implements Rooms, RoomLink {
  readonly roomId = 'song';
  clientId = 'me';
  userId: string | null = 'me';
  readonly requests: Request[] = [];
  readonly cursors: { position: CursorPosition; revision: number | undefined }[] = [];
  rejoins = 0;
  isReleased = false;
  user!: RoomUser;

  hold(_: string, user: RoomUser): RoomLink {
    this.user = user;
    return this;
  }

  request(event: string, payload: object): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.requests.push({ event, payload, resolve, reject });
    });
  }

  rejoin(): void {
    this.rejoins += 1;
  }

  moveCursor(position: CursorPosition, revision?: number): void {
    this.cursors.push({ position, revision });
  }

  release(): void {
    this.isReleased = true;
  }

  join(rest: Partial<RoomJoined> = {}): void {
    this.user.joined({
      ...{ room_id: 'song', participant_count: 1, permission: 'edit', participants: [] },
      ...{ revision: 0, last_seq: 0 },
      ...rest,
    });
  }

  joinText(text: string, revision = 0, last_seq = 0): void {
    this.join({ document: { text }, revision, last_seq });
  }

  update(revision: number, operation: Operation, client_id = 'other', seq = revision): void {
    this.user.event('collaboration_update', updateOf(revision, operation, client_id, seq));
  }

  state(text: string, revision: number, last_seq = 0): void {
    this.user.event('document_state', {
      ...{ room_id: 'song', revision, text, last_seq, reason: 'behind' },
    });
  }

  get last(): Request {
    const request = this.requests[this.requests.length - 1];
    if (request === undefined) throw new Error('nothing was asked');
    return request;
  }

  /** Answer what was asked last, and let the answer arrive. */
  async answer(revision: number): Promise<void> {
    const { seq } = this.last.payload;
    this.last.resolve({ ok: true, room_id: 'song', operation_id: null, revision, seq });
    await settle();
  }

  async refuse(error: Error): Promise<void> {
    this.last.reject(error);
    await settle();
  }
}

export function updateOf(
  revision: number,
  operation: Operation,
  client_id = 'other',
  seq = revision,
): CollaborationUpdate {
  return {
    ...{ room_id: 'song', user_id: client_id, timestamp: 1, operation_id: `${client_id}-${seq}` },
    ...{ revision, client_id, seq },
    operations: toWire(operation),
  };
}

export function refusal(code: ErrorCode, retryAfterMs?: number): RealtimeError {
  return new RealtimeError(code, code, retryAfterMs === undefined ? {} : { retryAfterMs });
}

/** What hangs on promises that are fulfilled by now is done. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 6; turn++) await Promise.resolve();
}
