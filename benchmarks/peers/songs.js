// ChordMe's events on socket.io, in as few lines as an application has; for each of its engines.
// PORT, SECRET and PING_MS come from the environment.
'use strict';

const { createHmac, timingSafeEqual } = require('node:crypto');

const { PORT, SECRET, PING_MS } = process.env;

/** The claims of a good HS256 token, or null. */
function verify(token) {
  if (typeof token !== 'string') return null;
  const [header, claims, signature] = token.split('.');
  if (signature === undefined) return null;
  const expected = createHmac('sha256', SECRET).update(`${header}.${claims}`).digest();
  const given = Buffer.from(signature, 'base64url');
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) return null;
  if (JSON.parse(Buffer.from(header, 'base64url')).alg !== 'HS256') return null;
  const parsed = JSON.parse(Buffer.from(claims, 'base64url'));
  return parsed.exp > Date.now() / 1000 ? parsed : null;
}

function serve(socket) {
  let identity = null;

  /** Run `answer` for a client that may be heard; with `inRoom`, only in a room that it is in. */
  const on = (event, inRoom, answer) => {
    socket.on(event, (payload) => {
      if (identity === null || identity.exp <= Date.now() / 1000) {
        socket.emit('error', { message: 'Authentication required' });
      } else if (inRoom && !socket.rooms.has(payload?.room_id)) {
        socket.emit('error', { message: 'Not authorized for this room' });
      } else {
        answer(payload);
      }
    });
  };

  const relay = (event, told, field) => {
    on(event, true, (payload) => {
      socket.to(payload.room_id).emit(told, {
        user_id: identity.user_id,
        room_id: payload.room_id,
        [field]: payload[field],
        timestamp: Date.now(),
      });
    });
  };

  socket.on('authenticate', (payload) => {
    identity = verify(payload?.token);
    if (identity === null) socket.emit('auth_error', { message: 'Invalid or expired token' });
    else socket.emit('authenticated', { user_id: identity.user_id });
  });
  on('join_room', false, ({ room_id }) => {
    socket.join(room_id);
    const participant_count = socket.nsp.adapter.rooms.get(room_id).size;
    socket.emit('room_joined', { room_id, participant_count });
  });
  relay('broadcast_message', 'room_message', 'message');
  relay('cursor_update', 'cursor_moved', 'position');
  relay('collaboration_operation', 'collaboration_update', 'operation');
  on('ping', false, () => socket.emit('pong', { timestamp: Date.now() }));
}

module.exports = {
  port: Number(PORT),
  serve,
  options: { pingInterval: Number(PING_MS), pingTimeout: 20000 },
};
