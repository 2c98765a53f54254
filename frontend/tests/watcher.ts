/** Somebody in a room who only writes down who comes and goes. */

import { io, type Socket } from 'socket.io-client';

import { until } from './daemon';

export interface Watcher {
  /** Such as `user_joined ada`. */
  readonly seen: readonly string[];
  readonly socket: Socket;
}

/** Be in a room as the user of that token, from now on. */
export async function watch(url: string, token: string, roomId: string): Promise<Watcher> {
  const socket = io(url, { auth: { token }, forceNew: true, reconnection: false });
  const seen: string[] = [];
  let self: unknown;
  let isIn = false;
  for (const event of ['user_joined', 'user_left']) {
    socket.on(event, ({ user_id }: { user_id: string }) => {
      if (user_id !== self) seen.push(`${event} ${user_id}`);
    });
  }
  socket.on('authenticated', ({ user_id }: { user_id: string }) => {
    self = user_id;
    socket.emit('join_room', { room_id: roomId });
  });
  socket.on('room_joined', () => (isIn = true));
  await until(() => isIn, `the watcher is in ${roomId}`);
  return { seen, socket };
}
