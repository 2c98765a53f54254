/** A page of its own as far as the service goes, and what it was told. */

import { TabName } from '../../src/services/clientId';
import { Backoff } from '../../src/services/backoff';
import type { CollaborationOperation } from '../../src/services/flatOperations';
import type { RoomInfo } from '../../src/services/roomInfo';
import type { ServiceStatus } from '../../src/services/status';
import {
  WebSocketService,
  type Cursor,
  type WebSocketMessage,
} from '../../src/services/webSocketService';
import { sharedSong } from '../../src/roomSong';
import type { RealtimeError, RoomUser, UserId } from '../../src/types';
import { until } from '../daemon';

export class Page {
  readonly service: WebSocketService;
  readonly statuses: ServiceStatus[] = [];
  readonly messages: WebSocketMessage[] = [];
  readonly rooms: RoomInfo[] = [];
  readonly operations: CollaborationOperation[] = [];
  readonly cursors: Cursor[] = [];
  readonly errors: RealtimeError[] = [];

  constructor(url: string, tab = new TabName({ storage: null, locks: null, openChannel: null })) {
    // Short waits: the schedule has tests of its own.
    this.service = new WebSocketService({ url, tab, backoff: new Backoff(() => 0.1) });
    this.service.onConnection((status) => this.statuses.push(status));
    this.service.onMessage((message) => this.messages.push(message));
    this.service.onRoom((room) => this.rooms.push(room));
    this.service.onCursor((cursor) => this.cursors.push(cursor));
    this.service.onError((error) => this.errors.push(error));
  }

  /** Listen to operations: that opens a song behind the room, and waits until it is there. */
  async listen(roomId: string): Promise<void> {
    this.service.onOperation((operation) => this.operations.push(operation));
    const song = sharedSong(this.service, roomId);
    await until(() => song.getSnapshot().state === 'live', 'it has the song');
  }

  get status(): ServiceStatus {
    return this.service.getConnectionStatus();
  }

  get codes(): string[] {
    return this.errors.map((error) => error.code);
  }

  /** Who is in a room, as far as this page was told; null before it is in itself. */
  present(roomId: string): string[] | null {
    const last = this.rooms.filter((room) => room.id === roomId).at(-1);
    return last?.participants.map((one) => String(one.id)).sort() ?? null;
  }

  said(): unknown[] {
    return this.messages.map((message) => message.data);
  }
}

/** A room user that keeps what it is told. */
export class Witness implements RoomUser {
  readonly told: [string, unknown][] = [];
  wished: ReturnType<RoomUser['wish']> = {};

  wish(): ReturnType<RoomUser['wish']> {
    return this.wished;
  }

  joined(room: unknown): void {
    this.told.push(['joined', room]);
  }

  lost(error: RealtimeError | null): void {
    this.told.push(['lost', error?.code ?? null]);
  }

  identified(userId: UserId): void {
    this.told.push(['identified', userId]);
  }

  event(name: string, payload: unknown): void {
    this.told.push([name, payload]);
  }

  names(): string[] {
    return this.told.map(([name]) => name);
  }
}
