/**
 * ChordMe's client of the real-time daemon.
 *
 * Calls may come in any order: `connect(token); joinRoom(id); sendMessage(…)` is as good as waiting
 * for each. What cannot be done yet is done when it can be; after a loss all is as it was.
 */

import { sharedSong } from '../roomSong';
import {
  RealtimeError,
  type CursorMoved,
  type CursorPosition,
  type RoomEventName,
  type RoomEvents,
  type RoomLink,
  type RoomMessage,
  type Rooms,
  type RoomUser,
  type Token,
  type Unsubscribe,
  type UserId,
} from '../types';
import type { Backoff } from './backoff';
import { TabName } from './clientId';
import { Connection } from './connection';
import { serverUrl } from './environment';
import { FlatOperations, type CollaborationOperation, type SentOperation } from './flatOperations';
import { Listeners } from './listeners';
import { Pacer } from './pacing';
import { Room, type PacedEvent } from './room';
import { roomInfo, type RoomInfo } from './roomInfo';
import type { ServiceStatus } from './status';
import { isRoomId, nonsense, ratesOf, roomEvent } from './wire';

export interface WebSocketMessage {
  readonly type: 'room_message';
  readonly data: unknown;
  readonly timestamp: number;
  readonly userId: UserId;
  readonly roomId: string;
}

export interface Cursor extends CursorPosition {
  readonly userId: UserId;
  readonly roomId: string;
  readonly clientId: string | null;
}

export interface WebSocketOptions {
  /** Instead of `VITE_WEBSOCKET_URL` or the page's own origin. */
  readonly url?: string;
  readonly tab?: TabName;
  readonly backoff?: Backoff;
}

interface Wanted {
  readonly room: Room;
  /** By `joinRoom`; songs hold rooms beside that. */
  isJoined: boolean;
  flat: { readonly operations: FlatOperations; readonly release: Unsubscribe } | null;
}

export class WebSocketService implements Rooms {
  private readonly connectionListeners: Listeners<[ServiceStatus]>;
  private readonly messageListeners = new Listeners<[WebSocketMessage]>();
  private readonly roomListeners = new Listeners<[RoomInfo]>();
  private readonly operationListeners = new Listeners<[CollaborationOperation]>();
  private readonly cursorListeners = new Listeners<[Cursor]>();
  private readonly errorListeners = new Listeners<[RealtimeError]>();
  private readonly connection: Connection;
  private readonly pacers: Readonly<Record<PacedEvent, Pacer>> = {
    messages: new Pacer(),
    operations: new Pacer(),
    cursors: new Pacer(),
    joins: new Pacer(),
  };
  private readonly wanted = new Map<string, Wanted>();
  private currentRoom: string | null = null;
  private tab: TabName | null;

  constructor(options: WebSocketOptions = {}) {
    this.tab = options.tab ?? null;
    this.connection = new Connection(
      {
        url: () => options.url ?? serverUrl(),
        clientId: () => this.tabName().claim(),
        ...(options.backoff && { backoff: options.backoff }),
      },
      {
        greeted: (greeting) => {
          this.keepTo(greeting);
        },
        identified: (userId, isAnother) => {
          for (const { room } of this.wanted.values()) room.identified(userId, isAnother);
        },
        ready: () => {
          for (const { room } of this.wanted.values()) if (room.isOut) room.join();
        },
        lost: (error) => {
          for (const { room } of this.wanted.values()) room.lose(error);
        },
        heard: (event, payload) => {
          this.hear(event, payload);
        },
        failed: (error) => {
          this.fail(error);
        },
      },
    );
    this.connectionListeners = this.connection.status.listeners;
  }

  // The connection

  /** Connect, and stay connected until `disconnect`. */
  connect(token?: Token): void {
    this.connection.open(token);
  }

  disconnect(): void {
    this.connection.close();
  }

  /** Be the user of that token; connects if need be. */
  authenticate(token: Token): void {
    this.connection.open(token);
  }

  /** The same object as long as nothing has changed. */
  getConnectionStatus(): ServiceStatus {
    return this.connection.status.get();
  }

  get userId(): UserId | null {
    return this.connection.identity;
  }

  isReady(): boolean {
    return this.connection.isReady;
  }

  /** Disconnect, and forget everything and everybody. */
  destroy(): void {
    for (const roomId of [...this.wanted.keys()]) this.leaveRoom(roomId);
    for (const { room } of this.wanted.values()) room.leave();
    this.wanted.clear();
    this.disconnect();
    for (const pacer of Object.values(this.pacers)) pacer.clear();
    this.connectionListeners.clear();
    this.messageListeners.clear();
    this.roomListeners.clear();
    this.operationListeners.clear();
    this.cursorListeners.clear();
    this.errorListeners.clear();
  }

  // Rooms

  /** Join a room; it is the one that is meant where none is named. */
  joinRoom(roomId: string | number): void {
    const id = String(roomId);
    if (!isRoomId(id)) {
      this.fail(new RealtimeError('invalid_room', 'Invalid room ID', { event: 'join_room' }));
      return;
    }
    this.currentRoom = id;
    const wanted = this.want(id);
    wanted.isJoined = true;
    if (this.operationListeners.size > 0) this.flatOperations(wanted);
  }

  leaveRoom(roomId: string | null = this.currentRoom): void {
    if (roomId === null) return;
    if (roomId === this.currentRoom) this.currentRoom = null;
    const wanted = this.wanted.get(roomId);
    if (wanted === undefined) return;
    wanted.isJoined = false;
    wanted.flat?.operations.close();
    wanted.flat?.release();
    wanted.flat = null;
    this.leaveSoon(wanted);
  }

  /** The room that is meant where none is named; null when the daemon has refused it. */
  getCurrentRoom(): string | null {
    const room = this.currentRoom === null ? undefined : this.wanted.get(this.currentRoom)?.room;
    return room?.refusal === null ? room.id : null;
  }

  /** Hold a room for a song; one song at a time: see `sharedSong`. */
  hold(roomId: string, user: RoomUser): RoomLink {
    if (!isRoomId(roomId)) throw new RealtimeError('invalid_room', 'Invalid room ID', { roomId });
    const known = this.wanted.get(roomId);
    if (known !== undefined && known.room.user !== null) {
      throw new Error(`The song ${roomId} is open already: share it`);
    }
    const wanted = known ?? this.add(roomId);
    const { room } = wanted;
    room.user = user;
    room.join();
    const tab = this.tabName();
    const isHeld = (): boolean => room.user === user;
    return {
      roomId,
      get clientId() {
        return tab.clientId;
      },
      request: (event, payload) => room.request(event, payload),
      moveCursor: (position, revision) => {
        if (isHeld()) room.moveCursor(position, revision);
      },
      rejoin: () => {
        if (isHeld()) room.join();
      },
      release: () => {
        if (!isHeld()) return;
        room.user = null;
        this.leaveSoon(wanted);
      },
    };
  }

  // What is said and done there

  /** Say something in a room, of any JSON shape; once it is joined. */
  sendMessage(message: unknown, roomId: string | null = this.currentRoom): void {
    this.inRoom('broadcast_message', roomId)?.room.say(message);
  }

  /** Tell an edit that was made to the text that `onOperation` keeps up to date. */
  sendOperation(operation: SentOperation, roomId: string | null = this.currentRoom): void {
    const wanted = this.inRoom('collaboration_operation', roomId);
    if (wanted !== null) this.flatOperations(wanted)?.send(operation);
  }

  /** Tell where the cursor is; of several within a moment only the last is sent. */
  sendCursorUpdate(position: CursorPosition, roomId: string | null = this.currentRoom): void {
    if (roomId !== null) this.wanted.get(roomId)?.room.moveCursor(position);
  }

  // Listeners; each is given back as its unsubscriber

  onConnection(listener: (status: ServiceStatus) => void): Unsubscribe {
    return this.connectionListeners.add(listener);
  }

  onMessage(listener: (message: WebSocketMessage) => void): Unsubscribe {
    return this.messageListeners.add(listener);
  }

  /** Be told who is in a room, whenever that changes. */
  onRoom(listener: (room: RoomInfo) => void): Unsubscribe {
    return this.roomListeners.add(listener);
  }

  /** Be told what to do to the text, in order; one's own operations are not among it. */
  onOperation(listener: (operation: CollaborationOperation) => void): Unsubscribe {
    const unsubscribe = this.operationListeners.add(listener);
    for (const wanted of this.wanted.values()) if (wanted.isJoined) this.flatOperations(wanted);
    return unsubscribe;
  }

  onCursor(listener: (cursor: Cursor) => void): Unsubscribe {
    return this.cursorListeners.add(listener);
  }

  onError(listener: (error: RealtimeError) => void): Unsubscribe {
    return this.errorListeners.add(listener);
  }

  // Inside

  private tabName(): TabName {
    this.tab ??= new TabName();
    return this.tab;
  }

  private want(roomId: string): Wanted {
    const known = this.wanted.get(roomId);
    if (known !== undefined) {
      if (known.room.refusal !== null) known.room.join();
      return known;
    }
    const wanted = this.add(roomId);
    wanted.room.join();
    return wanted;
  }

  private add(roomId: string): Wanted {
    const { connection, pacers } = this;
    const room: Room = new Room(roomId, {
      get isReady() {
        return connection.isReady;
      },
      get userId() {
        return connection.status.get().userId;
      },
      pacers,
      request: (event, payload) => connection.request(event, payload),
      emit: (event, payload) => {
        connection.emit(event, payload);
      },
      joined: () => {
        this.tellRoom(room);
      },
      told: (name, payload) => {
        this.tell(room, name, payload);
      },
      failed: (error) => {
        this.fail(error);
      },
    });
    const wanted: Wanted = { room, isJoined: false, flat: null };
    this.wanted.set(roomId, wanted);
    return wanted;
  }

  /** Leave a room if nobody wants it any more a moment from now. */
  private leaveSoon(wanted: Wanted): void {
    setTimeout(() => {
      const { room, isJoined } = wanted;
      if (isJoined || room.user !== null || this.wanted.get(room.id) !== wanted) return;
      this.wanted.delete(room.id);
      room.leave();
    }, 0);
  }

  private inRoom(event: string, roomId: string | null): Wanted | null {
    const wanted = roomId === null ? undefined : this.wanted.get(roomId);
    if (wanted !== undefined) return wanted;
    this.fail(new RealtimeError('not_in_room', 'Join a room first', { event }));
    return null;
  }

  private flatOperations(wanted: Wanted): FlatOperations | null {
    if (wanted.flat === null) {
      const { room } = wanted;
      const { song, release } = sharedSong(this, room.id).hold();
      const operations = new FlatOperations(song, {
        updates: () => room.updates,
        told: (operation) => {
          this.operationListeners.tell(operation);
        },
        failed: (error) => {
          this.fail(error);
        },
      });
      wanted.flat = { operations, release };
    }
    return wanted.flat.operations;
  }

  private keepTo(greeting: unknown): void {
    const rates = ratesOf(greeting);
    for (const [name, pacer] of Object.entries(this.pacers)) pacer.setRate(rates[name] ?? null);
  }

  private hear(event: RoomEventName, payload: unknown): void {
    const told = roomEvent(event, payload);
    if (told === null) this.fail(nonsense(event));
    else this.wanted.get(told.room_id)?.room.hear(event, told);
  }

  private tell<Name extends RoomEventName>(
    room: Room,
    name: Name,
    payload: RoomEvents[Name],
  ): void {
    if (name === 'room_message') {
      const { user_id: userId, message: data, timestamp } = payload as RoomMessage;
      this.messageListeners.tell({ type: name, data, timestamp, userId, roomId: room.id });
    } else if (name === 'cursor_moved') {
      const { user_id: userId, position, client_id } = payload as CursorMoved;
      const clientId = client_id ?? null;
      this.cursorListeners.tell({ ...position, userId, roomId: room.id, clientId });
    } else if (name === 'user_joined' || name === 'user_left' || name === 'permission_changed') {
      this.tellRoom(room);
    }
  }

  private tellRoom({ id, participantCount, participants, permission }: Room): void {
    this.roomListeners.tell(roomInfo(id, participants, permission, participantCount));
  }

  private fail(error: RealtimeError): void {
    this.errorListeners.tell(error);
  }
}

/** The one service of a page; it connects when it is asked to, and not before. */
export const webSocketService = new WebSocketService();
