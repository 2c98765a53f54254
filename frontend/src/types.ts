/** What the parts of the client say to each other, and what the daemon says to them. */

export type Unsubscribe = () => void;
export type UserId = string | number;
export type Permission = 'read' | 'edit' | 'admin';

/** A JWT, or what gives a fresh one each time that it is asked. */
export type Token = string | (() => string | Promise<string>);

/** The daemon's closed list, and what only a client can know. */
export type ErrorCode =
  | 'bad_request'
  | 'unknown_event'
  | 'unauthenticated'
  | 'invalid_token'
  | 'token_expired'
  | 'forbidden'
  | 'not_in_room'
  | 'invalid_room'
  | 'invalid_operation'
  | 'stale_revision'
  | 'message_too_large'
  | 'document_too_large'
  | 'too_many_rooms'
  | 'room_full'
  | 'rate_limited'
  | 'unavailable'
  | 'internal'
  | 'connection_lost'
  | 'unsupported'
  | 'protocol';

/** Why something was refused or failed; people read `message`, programs act on `code`. */
export class RealtimeError extends Error {
  override name = 'RealtimeError';

  constructor(
    readonly code: ErrorCode,
    message: string,
    readonly details: {
      event?: string;
      roomId?: string;
      retryAfterMs?: number;
      limit?: unknown;
    } = {},
  ) {
    super(message);
  }
}

// The connection

export type ConnectionState =
  'disconnected' | 'connecting' | 'authenticating' | 'connected' | 'reconnecting' | 'error';

/** How the connection is; the same object as long as nothing has changed. */
export interface ConnectionStatus {
  readonly state: ConnectionState;
  /** There is a link to the daemon. */
  readonly connected: boolean;
  /** The daemon has taken the token. */
  readonly authenticated: boolean;
  readonly userId: UserId | null;
  /** Milliseconds there and back, by the last ping. */
  readonly latency: number | null;
  /** Attempts since the link was lost; 0 while there is one. */
  readonly retryCount: number;
  /** When reconnecting began, in milliseconds since the epoch. */
  readonly reconnectingSince: number | null;
  readonly transport: 'websocket' | 'polling' | null;
  readonly error: RealtimeError | null;
}

// What is edited

/** Parts of an operation in order: n keeps n UTF-16 units, -n deletes n, a text is inserted. */
export type Component = number | string;
/** In canonical form: no 0, no '', neighbours joined, insert before delete, no keep at the end. */
export type Operation = readonly Component[];

/** An operation as ChordMe's clients say it; positions count UTF-16 units. */
export type FlatOperation =
  | { id?: string; type: 'insert'; position: number; content: string }
  | { id?: string; type: 'delete'; position: number; length: number }
  | { id?: string; type: 'retain'; position?: number; length?: number };

export interface CursorPosition {
  readonly line: number;
  readonly column: number;
  readonly offset?: number;
  readonly selectionStart?: number;
  readonly selectionEnd?: number;
  /** `#rrggbb` */
  readonly color?: string;
}

// What the daemon tells

export interface Participant {
  readonly user_id: UserId;
  readonly name?: string;
  readonly connections: number;
}

/** One revision of a song. */
export interface CollaborationUpdate {
  readonly room_id: string;
  readonly user_id: UserId;
  readonly timestamp: number;
  readonly operation_id: string;
  readonly operation?: FlatOperation;
  readonly revision: number;
  readonly operations: readonly FlatOperation[];
  readonly client_id?: string;
  readonly seq?: number;
}

/** The whole text, because this client's copy can no longer be trusted. */
export interface DocumentState {
  readonly room_id: string;
  readonly revision: number;
  readonly text: string;
  readonly last_seq: number;
  readonly reason: string;
}

export interface RoomJoined {
  readonly room_id: string;
  readonly participant_count: number;
  readonly permission: Permission;
  readonly participants: readonly Participant[];
  readonly revision: number;
  readonly last_seq?: number;
  readonly document?: { readonly text: string };
  readonly operations?: readonly CollaborationUpdate[];
  readonly messages?: readonly RoomMessage[];
  readonly last_message_id?: number;
  readonly resync?: boolean;
}

export interface RoomMessage {
  readonly room_id: string;
  readonly user_id: UserId;
  readonly message: unknown;
  readonly timestamp: number;
  readonly message_id?: number;
}

export interface CursorMoved {
  readonly room_id: string;
  readonly user_id: UserId;
  readonly position: CursorPosition;
  readonly timestamp: number;
  readonly client_id?: string;
  readonly revision?: number;
}

export interface Presence {
  readonly room_id: string;
  readonly user_id: UserId;
  readonly participant_count: number;
  readonly name?: string;
}

export interface ConflictResolved {
  readonly room_id: string;
  readonly revision: number;
  readonly kept: string;
  readonly dropped: string;
}

export interface SaveState {
  readonly room_id: string;
  readonly state: 'saved' | 'pending' | 'failed' | 'altered';
  readonly revision: number;
  readonly reason?: string;
}

/** What happens in one room, in the order in which the daemon tells it. */
export interface RoomEvents {
  user_joined: Presence;
  user_left: Presence;
  room_message: RoomMessage;
  collaboration_update: CollaborationUpdate;
  cursor_moved: CursorMoved;
  document_state: DocumentState;
  conflict_resolved: ConflictResolved;
  save_state: SaveState;
  permission_changed: { readonly room_id: string; readonly permission: Permission };
  room_left: { readonly room_id: string; readonly reason?: string };
}
export type RoomEventName = keyof RoomEvents;

// What a song needs of the service

/**
 * One room as the service holds it: joined again after every loss, for as long as it is held.
 *
 * After each join `joined` is called before any later event of the room; `lost` when the link is
 * gone or the room was left. A payload that is not as described here is dropped by the service, and
 * told to `onError`.
 */
export interface RoomLink {
  readonly roomId: string;
  /**
   * This tab's name for the daemon: random, and the same after a refresh of the page. To be read
   * when `joined` is called: a tab that was duplicated has its own only then.
   */
  readonly clientId: string;
  /**
   * Ask the daemon, and get its answer. Rejects with a `RealtimeError`: its refusal, or
   * `connection_lost` when no answer can come any more. It is paced by the daemon's limits.
   */
  request(
    event: 'collaboration_operation' | 'broadcast_message',
    payload: object,
  ): Promise<unknown>;
  /** Join again, as `wish` says then: what was told has a hole, or cannot be believed. */
  rejoin(): void;
  /** Tell where the cursor is; of several within a moment only the last is sent. */
  moveCursor(position: CursorPosition, revision?: number): void;
  release(): void;
}

export interface RoomUser {
  /** What the next join asks for: the last revision that is known, or the whole text. */
  wish(): { revision?: number; document?: true; last_message_id?: number };
  joined(room: RoomJoined): void;
  lost(error: RealtimeError | null): void;
  /** Who is signed in is known, or is somebody else now; always before `joined`. */
  identified(userId: UserId): void;
  event<Name extends RoomEventName>(name: Name, payload: RoomEvents[Name]): void;
}

/** What holds rooms: the service. */
export interface Rooms {
  /** Who is signed in, as far as is known. */
  readonly userId: UserId | null;
  hold(roomId: string, user: RoomUser): RoomLink;
}

// A song

/** How the text has changed: what editors apply. */
export interface TextChange {
  readonly operation: Operation;
  readonly origin: 'local' | 'remote' | 'undo' | 'redo' | 'reset';
}

export interface RemoteCursor {
  readonly clientId: string;
  readonly userId: UserId;
  readonly name: string;
  /** `#rrggbb`, the same for one user on all screens. */
  readonly color: string;
  /** UTF-16 units from the beginning of the text as it is now; null when only a line is known. */
  readonly offset: number | null;
  readonly selection: readonly [start: number, end: number] | null;
  readonly position: CursorPosition;
}

/** How a song is; the same object as long as nothing has changed. */
export interface SongSnapshot {
  readonly roomId: string;
  /** Whose copy this is, as text; before it is known who is signed in, who last was in this tab. */
  readonly userId: string | null;
  /** Whether this page has been in the room; before that, its text is what the tab remembers. */
  readonly wasJoined: boolean;
  /** `loading` before the text is there, `offline` when edits wait for the link. */
  readonly state: 'loading' | 'live' | 'offline' | 'refused';
  readonly text: string;
  readonly revision: number;
  /** Edits that the daemon has not acknowledged. */
  readonly unsent: number;
  readonly permission: Permission | null;
  readonly participants: readonly Participant[];
  readonly cursors: readonly RemoteCursor[];
  readonly messages: readonly RoomMessage[];
  readonly canUndo: boolean;
  readonly canRedo: boolean;
  readonly saveState: SaveState['state'] | null;
  /** Why edits do not go out, for the person. */
  readonly error: RealtimeError | null;
}

/** One song that is edited together. */
export interface Song {
  readonly roomId: string;
  getSnapshot(): SongSnapshot;
  /** Be told when the snapshot has changed. */
  subscribe(listener: () => void): Unsubscribe;
  /** Be told of each change of the text, in order. */
  onChange(listener: (change: TextChange) => void): Unsubscribe;
  /** Be told that a chord or directive which two people changed at once was mended. */
  onConflict(listener: (conflict: { kept: string; dropped: string }) => void): Unsubscribe;
  /**
   * Edit the text as it is now; throws a RangeError for what does not fit it. What the page did and
   * nobody typed is better not undoable.
   */
  edit(operation: Operation, options?: { readonly isUndoable?: boolean }): void;
  /** Make `text` the song, by the smallest edit. */
  setText(text: string): void;
  undo(): boolean;
  redo(): boolean;
  /** Say where one's own cursor is: UTF-16 units. */
  moveCursor(offset: number, selection?: readonly [start: number, end: number]): void;
  sendMessage(message: unknown): Promise<void>;
  close(): void;
}
