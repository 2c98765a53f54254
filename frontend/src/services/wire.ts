/**
 * What the daemon says, looked at before anybody believes it.
 *
 * Each function returns what it was given, if that is what it should be, else null. Fields that are
 * not known are left alone: later daemons have more.
 */

import {
  RealtimeError,
  type ErrorCode,
  type RoomEventName,
  type RoomEvents,
  type RoomJoined,
  type UserId,
} from '../types';
import type { Rate } from './pacing';

type Fields = Readonly<Record<string, unknown>>;
type Check = (value: unknown) => boolean;

const CODES: ReadonlySet<string> = new Set<ErrorCode>([
  'bad_request',
  'unknown_event',
  'unauthenticated',
  'invalid_token',
  'token_expired',
  'forbidden',
  'not_in_room',
  'invalid_room',
  'invalid_operation',
  'stale_revision',
  'message_too_large',
  'document_too_large',
  'too_many_rooms',
  'room_full',
  'rate_limited',
  'unavailable',
  'internal',
]);
const ROOM_ID = /^[A-Za-z0-9_-]{1,50}$/;

export function isRoomId(value: unknown): value is string {
  return typeof value === 'string' && ROOM_ID.test(value);
}

/** The fields of an object; none of anything else. */
export function fieldsOf(value: unknown): Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Fields)
    : {};
}

const isText: Check = (value) => typeof value === 'string';
const isNumber: Check = (value) => typeof value === 'number' && Number.isFinite(value);
const isWhole: Check = (value) => Number.isSafeInteger(value) && (value as number) >= 0;
const isAnything: Check = (value) => value !== undefined;
export const isUserId = (value: unknown): value is UserId =>
  isText(value) || Number.isSafeInteger(value);
export const isPermission: Check = (value) =>
  value === 'read' || value === 'edit' || value === 'admin';
const isSaveState: Check = (value) =>
  value === 'saved' || value === 'pending' || value === 'failed' || value === 'altered';

/** Null is as good as nothing here: Python's None. */
const optional =
  (check: Check): Check =>
  (value) =>
    value === undefined || value === null || check(value);
const listOf =
  (check: Check): Check =>
  (value) =>
    Array.isArray(value) && value.every(check);
const shape =
  (checks: Readonly<Record<string, Check>>): Check =>
  (value) => {
    const fields = fieldsOf(value);
    return Object.entries(checks).every(([name, check]) => check(fields[name]));
  };

function isFlatOperation(value: unknown): boolean {
  const { type, position, content, length } = fieldsOf(value);
  if (type === 'insert') return isWhole(position) && isText(content) && content !== '';
  if (type === 'delete') return isWhole(position) && isWhole(length) && length !== 0;
  return type === 'retain';
}

const isParticipant = shape({
  user_id: isUserId,
  name: optional(isText),
  connections: isWhole,
});
const isUpdate = shape({
  room_id: isRoomId,
  user_id: isUserId,
  timestamp: isNumber,
  revision: isWhole,
  operations: listOf(isFlatOperation),
  client_id: optional(isText),
  seq: optional(isWhole),
  operation_id: optional(isText),
});
const isMessage = shape({
  room_id: isRoomId,
  user_id: isUserId,
  message: isAnything,
  timestamp: isNumber,
  message_id: optional(isWhole),
});
const isPresence = shape({
  room_id: isRoomId,
  user_id: isUserId,
  participant_count: isWhole,
  name: optional(isText),
});
const isRoomJoined = shape({
  room_id: isRoomId,
  participant_count: isWhole,
  permission: isPermission,
  participants: listOf(isParticipant),
  revision: isWhole,
  last_seq: optional(isWhole),
  document: optional(shape({ text: isText })),
  operations: optional(listOf(isUpdate)),
  messages: optional(listOf(isMessage)),
  last_message_id: optional(isWhole),
});

const ROOM_EVENTS: Readonly<Record<RoomEventName, Check>> = {
  user_joined: isPresence,
  user_left: isPresence,
  room_message: isMessage,
  collaboration_update: isUpdate,
  cursor_moved: shape({
    room_id: isRoomId,
    user_id: isUserId,
    position: shape({ line: isWhole, column: isWhole }),
    timestamp: isNumber,
    client_id: optional(isText),
    revision: optional(isWhole),
  }),
  document_state: shape({
    room_id: isRoomId,
    revision: isWhole,
    text: isText,
    last_seq: isWhole,
    reason: isText,
  }),
  conflict_resolved: shape({ room_id: isRoomId, revision: isWhole, kept: isText, dropped: isText }),
  save_state: shape({
    room_id: isRoomId,
    state: isSaveState,
    revision: isWhole,
    reason: optional(isText),
  }),
  permission_changed: shape({ room_id: isRoomId, permission: isPermission }),
  room_left: shape({ room_id: isRoomId, reason: optional(isText) }),
};

export function isRoomEvent(event: string): event is RoomEventName {
  return Object.prototype.hasOwnProperty.call(ROOM_EVENTS, event);
}

export function roomEvent<Name extends RoomEventName>(
  event: Name,
  payload: unknown,
): RoomEvents[Name] | null {
  return ROOM_EVENTS[event](payload) ? (payload as RoomEvents[Name]) : null;
}

export function roomJoined(payload: unknown): RoomJoined | null {
  return isRoomJoined(payload) ? (payload as RoomJoined) : null;
}

export function authenticated(payload: unknown): { userId: UserId } | null {
  const { user_id } = fieldsOf(payload);
  return isUserId(user_id) ? { userId: user_id } : null;
}

/** The announced rates by their names; what is not there has none. */
export function ratesOf(greeting: unknown): Readonly<Record<string, Rate>> {
  const rates: Record<string, Rate> = {};
  for (const [name, limit] of Object.entries(fieldsOf(fieldsOf(greeting).limits))) {
    const { count, seconds } = fieldsOf(limit);
    if (isWhole(count) && count !== 0 && isNumber(seconds) && (seconds as number) > 0) {
      rates[name] = { count: count as number, seconds: seconds as number };
    }
  }
  return rates;
}

/** What was refused, and why: of an `error`, an `auth_error`, or an answer that is not ok. */
export function refusal(payload: unknown, event?: string): RealtimeError {
  const fields = fieldsOf(payload);
  const code = typeof fields.code === 'string' && CODES.has(fields.code) ? fields.code : 'internal';
  const message = typeof fields.message === 'string' ? fields.message : 'Refused';
  const { room_id, retry_after_ms, limit } = fields;
  const asked = typeof fields.event === 'string' ? fields.event : event;
  return new RealtimeError(code as ErrorCode, message, {
    ...(asked !== undefined && { event: asked }),
    ...(isRoomId(room_id) && { roomId: room_id }),
    ...(isNumber(retry_after_ms) && { retryAfterMs: Math.max(0, retry_after_ms as number) }),
    ...(limit !== undefined && { limit }),
  });
}

/** What came in place of something else; it is dropped, and told. */
export function nonsense(event: string): RealtimeError {
  return new RealtimeError('protocol', `The server sent a ${event} that makes no sense`, { event });
}
