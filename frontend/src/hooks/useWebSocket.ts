/** React hooks: the connection, the room, and the song that is edited in it. */
import {
  useCallback,
  useEffect,
  useLayoutEffect,
  useMemo,
  useState,
  useSyncExternalStore,
} from 'react';
import type { SentOperation } from '../services/flatOperations';
import { roomInfo as describeRoom } from '../services/roomInfo';
import type { WebSocketMessage } from '../services/webSocketService';
import type { CursorPosition, RemoteCursor, RoomMessage, Token, Unsubscribe } from '../types';
import { useWebSocketConnection } from './connection';
import { useConnectionIndicator } from './indicator';
import { NOTHING_DELIVERED, Operations } from './operations';
import { songActions, useSharedSong } from './songs';

export { ConnectionContext, useWebSocketConnection, type Connection } from './connection';
export { useConnectionIndicator, type IndicatorKind, type IndicatorTone } from './indicator';
export { useSongDocument } from './songs';

/** On a server nothing is laid out, and React 18 would say so. */
const useCommitEffect = typeof document === 'undefined' ? useEffect : useLayoutEffect;

/** A room, from when it is possible until the component is gone or `leaveRoom` is called. */
export function useWebSocketRoom(roomId?: string | null, { autoJoin = true } = {}) {
  const [choice, setChoice] = useState({ roomId, autoJoin, isJoined: autoJoin });
  const isCurrent = choice.roomId === roomId && choice.autoJoin === autoJoin;
  if (!isCurrent) {
    setChoice({ roomId, autoJoin, isJoined: autoJoin });
  }
  const isJoined = isCurrent ? choice.isJoined : autoJoin;
  const heldRoom = isJoined && roomId ? roomId : null;
  const [shared, snapshot] = useSharedSong(heldRoom);
  const { wasJoined, state, permission, participants, messages, error } = snapshot;
  const currentRoom = wasJoined && state !== 'refused' ? heldRoom : null;
  const joinRoom = useCallback(() => {
    setChoice((last) => ({ ...last, isJoined: true }));
  }, []);
  const leaveRoom = useCallback(() => {
    setChoice((last) => ({ ...last, isJoined: false }));
  }, []);
  const sendMessage = useMemo(() => songActions(shared).sendMessage, [shared]);
  const roomInfo = useMemo(
    () => (currentRoom === null ? null : describeRoom(currentRoom, participants, permission)),
    [currentRoom, participants, permission],
  );
  const told = useMemo(() => messages.map(messageOf), [messages]);
  const users = useMemo(() => participants.map(({ user_id }) => user_id), [participants]);
  return {
    /** The room that was asked for, joined or not yet. */
    heldRoom,
    /** The room once it is joined. */
    currentRoom,
    roomInfo,
    /** Who is there; their names are in `roomInfo`. */
    participants: users,
    messages: told,
    permission,
    error,
    sendMessage,
    joinRoom,
    leaveRoom,
  };
}

function messageOf({ room_id, user_id, message, timestamp }: RoomMessage): WebSocketMessage {
  return { type: 'room_message', data: message, timestamp, userId: user_id, roomId: room_id };
}

const getNothing = () => NOTHING_DELIVERED;
const neverTold = (): Unsubscribe => () => undefined;

/**
 * Editing for a component that keeps a text of its own.
 *
 * `operations` are those to apply that were not in it before, each once: apply them in an effect
 * that depends on it. Positions are those of the text after the ones before them.
 */
export function useWebSocketCollaboration(roomId?: string | null) {
  const [shared, snapshot] = useSharedSong(roomId);
  const feed = useMemo(() => shared && new Operations(shared), [shared]);
  const getDelivery = feed?.getSnapshot ?? getNothing;
  const { operations, pendingOperations, error } = useSyncExternalStore(
    feed?.subscribe ?? neverTold,
    getDelivery,
    getDelivery,
  );
  useCommitEffect(() => {
    feed?.delivered(operations);
  }, [feed, operations]);
  const cursors = useMemo(() => snapshot.cursors.map(flatCursor), [snapshot.cursors]);
  const sendOperation = useCallback((operation: SentOperation) => feed?.send(operation), [feed]);
  const sendCursorUpdate = useCallback(
    (position: CursorPosition) => {
      const offset = offsetOf(position, shared?.getSnapshot().text ?? '');
      const { selectionStart: start, selectionEnd: end } = position;
      const hasSelection = start !== undefined && end !== undefined;
      shared?.song?.moveCursor(offset, hasSelection ? [start, end] : undefined);
    },
    [shared],
  );
  return {
    operations,
    cursors,
    pendingOperations,
    /** The text of the song as it is now, own edits included. */
    text: snapshot.text,
    permission: snapshot.permission,
    /** Why an operation was not taken, or none can be. */
    error: error ?? snapshot.error,
    sendOperation,
    sendCursorUpdate,
  };
}

/** Line and column of a cursor beside the rest of it. */
function flatCursor(cursor: RemoteCursor) {
  return { ...cursor, line: cursor.position.line, column: cursor.position.column };
}

function offsetOf({ line, column, offset }: CursorPosition, text: string): number {
  if (offset !== undefined) {
    return Math.min(offset, text.length);
  }
  let start = 0;
  for (let passed = 0; passed < line; passed += 1) {
    const end = text.indexOf('\n', start);
    if (end < 0) {
      return text.length;
    }
    start = end + 1;
  }
  const end = text.indexOf('\n', start);
  return Math.min(start + column, end < 0 ? text.length : end);
}

/** All of it: a connection, a room that is joined as soon as it can be, and editing in it. */
export function useWebSocket({
  roomId,
  token,
  autoJoinRoom = false,
}: { roomId?: string | null; token?: Token | null; autoJoinRoom?: boolean } = {}) {
  const connection = useWebSocketConnection(token);
  const room = useWebSocketRoom(roomId, { autoJoin: autoJoinRoom });
  const collaboration = useWebSocketCollaboration(room.heldRoom);
  const indicator = useConnectionIndicator();
  return {
    connection,
    room,
    collaboration,
    indicator,
    isReady: connection.isReady,
    sendMessage: room.sendMessage,
    sendOperation: collaboration.sendOperation,
    sendCursorUpdate: collaboration.sendCursorUpdate,
  };
}
