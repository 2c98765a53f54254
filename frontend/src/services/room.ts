/** One room that the page wants: joined when that can be, and again after every loss. */

import {
  RealtimeError,
  type CollaborationUpdate,
  type CursorPosition,
  type Participant,
  type Permission,
  type RoomEventName,
  type RoomEvents,
  type RoomJoined,
  type RoomMessage,
  type RoomUser,
  type UserId,
} from '../types';
import { connectionLost } from './link';
import { Outbox } from './outbox';
import type { Pacer } from './pacing';
import { Said } from './said';
import { nonsense, roomJoined } from './wire';

const CURSOR_AFTER_MS = 60;
const JOIN_AGAIN_AFTER_MS = 2000;
/** What a later try might be granted. */
const PASSING: ReadonlySet<string> = new Set(['rate_limited', 'unavailable', 'internal']);

export type PacedEvent = 'messages' | 'operations' | 'cursors' | 'joins';

/** What a room needs of the connection, and who hears of it. */
export interface Surroundings {
  readonly isReady: boolean;
  readonly userId: UserId | null;
  readonly pacers: Readonly<Record<PacedEvent, Pacer>>;
  request(event: string, payload: object): Promise<unknown>;
  emit(event: string, payload: object): void;
  joined(): void;
  told<Name extends RoomEventName>(name: Name, payload: RoomEvents[Name]): void;
  failed(error: RealtimeError): void;
}

interface Cursor {
  readonly position: CursorPosition;
  readonly revision?: number;
}

export class Room {
  /** Why it cannot be joined, until the daemon takes a token again. */
  refusal: RealtimeError | null = null;
  participantCount = 0;
  participants: readonly Participant[] = [];
  permission: Permission | null = null;
  user: RoomUser | null = null;
  private state: 'out' | 'joining' | 'in' = 'out';
  private joins = 0;
  private joinTimer: ReturnType<typeof setTimeout> | undefined;
  private cursor: Cursor | null = null;
  private cursorTimer: ReturnType<typeof setTimeout> | undefined;
  private lastMessageId: number | null = null;
  /** What `user` is being told of just now: whose its changes of the text are. */
  updates: readonly CollaborationUpdate[] = [];
  private readonly said = new Said();
  private readonly outbox = new Outbox(
    (payload) => this.request('broadcast_message', payload),
    (error) => {
      this.around.failed(error);
    },
  );
  /** How to call off each request that waits for its turn. */
  private readonly unsent = new Set<() => void>();

  constructor(
    readonly id: string,
    private readonly around: Surroundings,
  ) {}

  get isOut(): boolean {
    return this.state === 'out';
  }

  /** Join, or join again, if that can be now. */
  join(): void {
    clearTimeout(this.joinTimer);
    this.refusal = null;
    this.callOff();
    this.state = 'out';
    this.joins += 1;
    const join = this.joins;
    if (!this.around.isReady) return;
    this.state = 'joining';
    this.around.pacers.joins.whenDue(() => {
      if (join === this.joins) void this.ask(join);
    });
  }

  /** The link is gone, or the token. */
  lose(error: RealtimeError | null): void {
    clearTimeout(this.joinTimer);
    this.joins += 1;
    const wasIn = this.state === 'in';
    this.state = 'out';
    this.callOff();
    if (wasIn) this.user?.lost(error);
  }

  /** Nothing that somebody else has done here, or was told, is this user's. */
  identified(userId: UserId, isAnother: boolean): void {
    if (isAnother) {
      this.lose(null); // they join it in their own name
      this.outbox.clear();
      this.said.clear();
      this.cursor = this.lastMessageId = this.permission = null;
      this.participants = [];
      this.participantCount = 0;
    }
    this.user?.identified(userId);
  }

  /** Tell the daemon that it is not wanted any more. */
  leave(): void {
    clearTimeout(this.cursorTimer);
    this.cursorTimer = undefined;
    this.outbox.clear();
    const isThere = this.state !== 'out';
    this.lose(null);
    if (!isThere || !this.around.isReady) return;
    this.around.request('leave_room', { room_id: this.id }).catch(() => undefined);
  }

  hear<Name extends RoomEventName>(name: Name, payload: RoomEvents[Name]): void {
    if (this.state !== 'in') return;
    this.note(name, payload);
    this.around.told(name, payload);
    const isUpdate = name === 'collaboration_update';
    this.tellUser(isUpdate ? [payload as CollaborationUpdate] : [], (user) => {
      user.event(name, payload);
    });
    if (name === 'room_left') this.putOut((payload as RoomEvents['room_left']).reason);
  }

  /** Ask something of the daemon in this room, at the rate that it allows. */
  async request(
    event: 'collaboration_operation' | 'broadcast_message',
    payload: object,
  ): Promise<unknown> {
    const pacer = this.around.pacers[event === 'broadcast_message' ? 'messages' : 'operations'];
    await this.turn(pacer, event);
    try {
      return await this.send(event, payload);
    } catch (error) {
      if (error instanceof RealtimeError && error.code === 'rate_limited') {
        pacer.pause(error.details.retryAfterMs ?? 1000);
      }
      throw error;
    }
  }

  /** Say something as soon as that can be. */
  say(message: unknown): void {
    this.outbox.add({ message });
  }

  /** Of several within a moment only the last goes out. */
  moveCursor(position: CursorPosition, revision?: number): void {
    this.cursor = { position, ...(revision !== undefined && { revision }) };
    this.cursorTimer ??= setTimeout(() => {
      this.around.pacers.cursors.whenDue(() => {
        this.cursorTimer = undefined;
        this.sendCursor();
      });
    }, CURSOR_AFTER_MS);
  }

  private turn(pacer: Pacer, event: string): Promise<void> {
    if (this.state !== 'in') return Promise.reject(connectionLost(event));
    return new Promise((resolve, reject) => {
      const lose = (): void => {
        callOff();
        reject(connectionLost(event));
      };
      this.unsent.add(lose);
      const callOff = pacer.whenDue(() => {
        this.unsent.delete(lose);
        resolve();
      });
    });
  }

  private callOff(): void {
    for (const lose of this.unsent) lose();
    this.unsent.clear();
  }

  private async send(event: string, payload: object): Promise<unknown> {
    const said = event === 'broadcast_message' ? this.said.add(payload) : null;
    try {
      return await this.around.request(event, { ...payload, room_id: this.id });
    } catch (error) {
      // One that was lost on its way may have arrived.
      const isLost = error instanceof RealtimeError && error.code === 'connection_lost';
      if (said !== null && !isLost) this.said.delete(said);
      throw error;
    }
  }

  private async ask(join: number): Promise<void> {
    let answer: unknown;
    try {
      const heard = this.lastMessageId === null ? {} : { last_message_id: this.lastMessageId };
      const wish = { room_id: this.id, ...heard, ...this.user?.wish() };
      answer = await this.around.request('join_room', wish);
    } catch (error) {
      if (join === this.joins) this.wasRefused(error as RealtimeError);
      return;
    }
    if (join !== this.joins) return;
    const joined = roomJoined(answer);
    if (joined === null) {
      this.around.failed(nonsense('room_joined'));
      this.later(JOIN_AGAIN_AFTER_MS);
    } else {
      const messages = this.said.without(joined.messages ?? [], this.around.userId, (payload) => {
        this.outbox.delete(payload);
      });
      this.wentIn(joined.messages === undefined ? joined : { ...joined, messages });
    }
  }

  private wentIn(joined: RoomJoined): void {
    this.state = 'in';
    this.participants = joined.participants;
    this.participantCount = joined.participant_count;
    this.permission = joined.permission;
    this.tellUser(joined.operations ?? [], (user) => {
      user.joined(joined);
    });
    this.around.joined();
    for (const message of joined.messages ?? []) this.around.told('room_message', message);
    this.lastMessageId = joined.last_message_id ?? this.lastMessageId ?? 0;
    void this.outbox.flush();
    if (this.cursor !== null) this.moveCursor(this.cursor.position, this.cursor.revision);
  }

  private tellUser(updates: readonly CollaborationUpdate[], tell: (user: RoomUser) => void): void {
    if (this.user === null) return;
    this.updates = updates;
    try {
      tell(this.user);
    } catch (error) {
      console.error('chordme: what a room told could not be taken in', error);
    }
    this.updates = [];
  }

  private wasRefused(error: RealtimeError): void {
    this.state = 'out';
    const { code, details } = error;
    if (code === 'connection_lost' || code === 'unauthenticated') return;
    if (PASSING.has(code)) {
      const waitMs = details.retryAfterMs ?? JOIN_AGAIN_AFTER_MS;
      if (code === 'rate_limited') this.around.pacers.joins.pause(waitMs);
      this.later(waitMs);
      return;
    }
    this.refuse(error);
  }

  private refuse(error: RealtimeError): void {
    this.refusal = error;
    this.user?.lost(error);
    this.around.failed(error);
  }

  private later(waitMs: number): void {
    this.state = 'out';
    this.joinTimer = setTimeout(() => {
      this.join();
    }, waitMs);
  }

  private putOut(reason: string | undefined): void {
    this.lose(null);
    // One whose token has expired is in again as soon as there is a fresh one.
    if (reason === 'expired') return;
    const message = reason === 'deleted' ? 'This song was deleted' : 'You may not read this song';
    this.refuse(new RealtimeError('forbidden', message, { roomId: this.id }));
  }

  private note<Name extends RoomEventName>(name: Name, payload: RoomEvents[Name]): void {
    if (name === 'permission_changed') {
      ({ permission: this.permission } = payload as RoomEvents['permission_changed']);
    } else if (name === 'room_message') {
      const { message_id: id } = payload as RoomMessage;
      if (id !== undefined) this.lastMessageId = Math.max(this.lastMessageId ?? 0, id);
    } else if (name === 'user_joined' || name === 'user_left') {
      const presence = payload as RoomEvents['user_joined'];
      const { user_id, name: called } = presence;
      this.participantCount = presence.participant_count;
      const others = this.participants.filter((one) => one.user_id !== user_id);
      const newcomer = { user_id, ...(called !== undefined && { name: called }), connections: 1 };
      this.participants = name === 'user_joined' ? [...others, newcomer] : others;
    }
  }

  private sendCursor(): void {
    if (this.state !== 'in' || this.cursor === null) return;
    this.around.emit('cursor_update', { room_id: this.id, ...this.cursor });
    this.cursor = null;
  }
}
