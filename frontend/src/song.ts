/**
 * One song that is edited together.
 *
 * What is typed is on the screen at once, and goes out as soon as that can be: one operation at a
 * time, and what waits behind it as one. Whatever the daemon says or does not say, what was typed
 * stays on the screen; what is refused stays there unsent, and the snapshot says why.
 */

import { Changes } from './changes';
import type { Conflict } from './chordpro';
import { Conversation, type Screen } from './conversation';
import { canonical, diff, invert, transformIndex, transformSelection } from './ot';
import { People } from './people';
import { Listeners } from './services/listeners';
import {
  RealtimeError,
  type ErrorCode,
  type Operation,
  type Permission,
  type RoomEventName,
  type RoomEvents,
  type RoomJoined,
  type RoomLink,
  type RoomMessage,
  type Rooms,
  type RoomUser,
  type SaveState,
  type Song,
  type SongSnapshot,
  type TextChange,
  type Unsubscribe,
  type UserId,
} from './types';
import { TabCopy, sessionStore, type SavedSong, type SessionStore } from './tabCopy';
import { UndoHistory } from './undo';

const MOST_MESSAGES = 500;
/** Without a link, or a token, edits wait; what else keeps a song from us will not pass so soon. */
const PASSING: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'connection_lost',
  'unauthenticated',
  'invalid_token',
  'token_expired',
  'rate_limited',
  'unavailable',
  'internal',
]);

export interface SongOptions {
  /** Where the song is kept over a refresh, with its unsent edits; null for nowhere. */
  readonly storage?: SessionStore | null;
  /** Milliseconds of any clock. */
  readonly now?: () => number;
}

interface OwnCursor {
  readonly offset: number;
  readonly selection: readonly [start: number, end: number] | null;
}

/** Open the song of a room, for as long as it is not closed; one at a time: see `sharedSong`. */
export function openSong(rooms: Rooms, roomId: string, options: SongOptions = {}): Song {
  return new OpenSong(rooms, roomId, options);
}

class OpenSong implements Song, RoomUser, Screen {
  private readonly link: RoomLink;
  private conversation: Conversation;
  private readonly copy: TabCopy;
  private readonly now: () => number;
  private history = new UndoHistory();
  private people = new People();
  private readonly changes = new Changes();
  private readonly listeners = new Listeners<[]>();
  private readonly conflictListeners = new Listeners<[{ kept: string; dropped: string }]>();
  private messages: readonly RoomMessage[] = [];
  private permission: Permission | null = null;
  private saveState: SaveState['state'] | null = null;
  /** Why the room is not joined, if there is more to say than that the link is gone. */
  private loss: RealtimeError | null = null;
  private cursor: OwnCursor | null = null;
  private isCursorDue = false;
  private isJoined = false;
  private wasJoined = false;
  /** Who waits for the room to be joined. */
  private waiting: { resolve: () => void; reject: (error: RealtimeError) => void }[] = [];
  private snapshot: SongSnapshot | null = null;
  private told: SongSnapshot | null = null;

  constructor(
    rooms: Rooms,
    readonly roomId: string,
    { storage = sessionStore(), now = () => Date.now() }: SongOptions,
  ) {
    this.now = now;
    this.copy = new TabCopy(roomId, rooms.userId, storage, () => this.save());
    this.conversation = this.goOn();
    this.link = rooms.hold(roomId, this);
  }

  // What pages ask for

  getSnapshot(): SongSnapshot {
    this.snapshot ??= this.look();
    return this.snapshot;
  }

  subscribe(listener: () => void): Unsubscribe {
    return this.listeners.add(listener);
  }

  onChange(listener: (change: TextChange) => void): Unsubscribe {
    return this.changes.add(listener);
  }

  onConflict(listener: (conflict: { kept: string; dropped: string }) => void): Unsubscribe {
    return this.conflictListeners.add(listener);
  }

  edit(operation: Operation, { isUndoable = true } = {}): void {
    if (this.permission === 'read') {
      throw new RealtimeError('forbidden', 'You may read this song, but not edit it', {
        roomId: this.roomId,
      });
    }
    const { document } = this.conversation;
    if (document === null) throw new RangeError('The song is not there yet');
    const edit = canonical(operation);
    if (edit.length === 0) return;
    const before = document.text;
    this.conversation.edit(edit);
    if (isUndoable) this.history.edited(invert(edit, before), this.now());
    else this.history.passed(edit);
    this.show(edit, 'local', null);
    this.touched();
  }

  setText(text: string): void {
    this.edit(diff(this.text, text));
  }

  undo(): boolean {
    return this.step('undo');
  }

  redo(): boolean {
    return this.step('redo');
  }

  moveCursor(offset: number, selection?: readonly [start: number, end: number]): void {
    this.cursor = { offset, selection: selection ?? null };
    this.isCursorDue = true;
    this.tellCursor();
  }

  async sendMessage(message: unknown): Promise<void> {
    if (!this.isJoined) {
      await new Promise<void>((resolve, reject) => {
        this.waiting.push({ resolve, reject });
      });
    }
    await this.link.request('broadcast_message', { message });
  }

  close(): void {
    this.copy.close();
    this.conversation.close();
    this.refuseWaiting(new RealtimeError('not_in_room', 'The song was closed'));
    this.link.release();
  }

  // What the room tells

  wish(): ReturnType<RoomUser['wish']> {
    return this.conversation.wish();
  }

  joined(room: RoomJoined): void {
    this.isJoined = true;
    this.loss = null;
    this.permission = room.permission;
    this.people.are(room.participants);
    this.conversation.joined(room);
    for (const message of room.messages ?? []) this.heardMessage(message);
    for (const { resolve } of this.waiting.splice(0)) resolve();
    this.isCursorDue = this.cursor !== null;
    this.touched();
  }

  lost(error: RealtimeError | null): void {
    this.isJoined = false;
    this.loss = error?.code === 'connection_lost' ? null : error;
    this.people.forgetCursors();
    this.conversation.lost();
    if (this.isRefused && error !== null) this.refuseWaiting(error);
    this.touched();
  }

  identified(userId: UserId): void {
    const before = this.copy.userId;
    if (before === String(userId)) return;
    const { text } = this;
    this.copy.handOver(userId);
    if (before !== null) this.forget();
    this.conversation.close();
    this.conversation = this.goOn();
    this.show(diff(text, this.text), 'reset', null);
    this.touched();
  }

  event<Name extends RoomEventName>(name: Name, payload: RoomEvents[Name]): void {
    const told = { name, payload } as {
      [N in RoomEventName]: { name: N; payload: RoomEvents[N] };
    }[RoomEventName];
    switch (told.name) {
      case 'collaboration_update':
        this.conversation.heard(told.payload);
        break;
      case 'document_state':
        this.conversation.replaced(told.payload);
        break;
      case 'cursor_moved':
        this.cursorMoved(told.payload);
        break;
      case 'user_joined':
        this.people.joined(told.payload);
        break;
      case 'user_left':
        this.people.left(told.payload);
        break;
      case 'room_message':
        this.heardMessage(told.payload);
        break;
      case 'conflict_resolved':
        this.mended([told.payload]);
        break;
      case 'save_state':
        this.saveState = told.payload.state;
        break;
      case 'permission_changed':
        this.permission = told.payload.permission;
        this.conversation.tryAgain();
        break;
      case 'room_left':
        break; // the service calls `lost`
    }
    this.touched();
  }

  // What the conversation tells

  changed(operation: Operation, origin: 'remote' | 'reset', author: string | null): void {
    this.history.passed(operation);
    this.show(operation, origin, author);
  }

  setBack(operation: Operation, before: string): void {
    // Not one's own edit, but nobody else has the text any more.
    this.history.edited(invert(operation, before), this.now());
    this.show(operation, 'reset', null);
  }

  mended(conflicts: readonly Conflict[]): void {
    for (const { kept, dropped } of conflicts) this.conflictListeners.tell({ kept, dropped });
  }

  sending(): void {
    this.copy.write();
  }

  touched(): void {
    this.snapshot = null;
    this.wasJoined ||= this.conversation.isLive;
    this.tellCursor();
    this.copy.changed();
    const snapshot = this.getSnapshot();
    if (snapshot === this.told) return;
    this.told = snapshot;
    this.listeners.tell();
  }

  // Inside

  /** Begin with what this user has left in this tab. */
  private goOn(): Conversation {
    const saved = this.copy.read();
    this.permission = saved?.permission ?? null;
    return new Conversation(() => this.link, this, saved, this.copy.userId);
  }

  /** Somebody else is here: nothing of whoever was here before is shown, or done in their name. */
  private forget(): void {
    this.refuseWaiting(new RealtimeError('forbidden', 'Somebody else has signed in'));
    this.history = new UndoHistory();
    this.people = new People();
    this.messages = [];
    this.saveState = this.loss = this.cursor = null;
    this.isJoined = this.wasJoined = false;
  }

  private get text(): string {
    return this.conversation.document?.text ?? '';
  }

  private show(operation: Operation, origin: TextChange['origin'], author: string | null): void {
    this.snapshot = null;
    if (operation.length === 0) return;
    this.people.carried(operation, author);
    if (this.cursor !== null) {
      const { offset, selection } = this.cursor;
      this.cursor = {
        offset: transformIndex(offset, operation),
        selection: selection && transformSelection(...selection, operation),
      };
    }
    this.changes.tell({ operation, origin });
  }

  private step(direction: 'undo' | 'redo'): boolean {
    const { document } = this.conversation;
    // What was never sent may be taken back by who may not edit any more.
    if (document === null || (this.permission === 'read' && document.isInStep)) return false;
    const operation = this.history[direction](document.text);
    if (operation === null) return false;
    this.conversation.edit(operation);
    this.show(operation, direction, null);
    this.touched();
    return true;
  }

  private cursorMoved(moved: RoomEvents['cursor_moved']): void {
    const { document } = this.conversation;
    if (document !== null) this.people.moved(moved, document);
  }

  /** Say where the cursor is; while there are edits on their way it goes along with them. */
  private tellCursor(): void {
    const { document, isLive } = this.conversation;
    if (!this.isCursorDue || this.cursor === null || document?.isInStep !== true || !isLive) return;
    this.isCursorDue = false;
    const { offset, selection } = this.cursor;
    const ends = selection && { selectionStart: selection[0], selectionEnd: selection[1] };
    this.link.moveCursor({ ...document.lineOf(offset), offset, ...ends }, document.revision);
  }

  private heardMessage(message: RoomMessage): void {
    const { message_id: id } = message;
    if (id !== undefined && this.messages.some((one) => one.message_id === id)) return;
    this.messages = [...this.messages.slice(1 - MOST_MESSAGES), message];
  }

  private save(): SavedSong | null {
    const { document } = this.conversation;
    return document && { ...document.save(), permission: this.permission };
  }

  private refuseWaiting(error: RealtimeError): void {
    for (const { reject } of this.waiting.splice(0)) reject(error);
  }

  private get isRefused(): boolean {
    return this.loss !== null && !PASSING.has(this.loss.code);
  }

  private state(): SongSnapshot['state'] {
    if (this.isRefused) return 'refused';
    if (this.conversation.document === null) return 'loading';
    return this.conversation.isLive ? 'live' : 'offline';
  }

  private look(): SongSnapshot {
    const { document, trouble } = this.conversation;
    const snapshot: SongSnapshot = {
      roomId: this.roomId,
      userId: this.copy.userId,
      wasJoined: this.wasJoined,
      state: this.state(),
      text: this.text,
      revision: document?.revision ?? 0,
      unsent: document?.unsent ?? 0,
      permission: this.permission,
      participants: this.people.participants,
      cursors: this.people.cursors,
      messages: this.messages,
      canUndo: this.history.canUndo,
      canRedo: this.history.canRedo,
      saveState: this.saveState,
      error: this.loss ?? trouble,
    };
    const { told } = this;
    const keys = Object.keys(snapshot) as (keyof SongSnapshot)[];
    return told !== null && keys.every((key) => snapshot[key] === told[key]) ? told : snapshot;
  }
}
