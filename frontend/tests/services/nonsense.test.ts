import { createServer, type Server as HttpServer } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';

import fc from 'fast-check';
import { Server, type Socket } from 'socket.io';
import { afterEach, beforeEach, expect, test } from 'vitest';

import { isRoomEvent, ratesOf, refusal, roomEvent, roomJoined } from '../../src/services/wire';
import { RealtimeError } from '../../src/types';
import { until } from '../daemon';
import { Page, Witness } from './page';

const EVENTS = [
  'connected',
  'authenticated',
  'token_expiring',
  'error',
  'room_joined',
  'user_joined',
  'user_left',
  'room_message',
  'collaboration_update',
  'cursor_moved',
  'document_state',
  'conflict_resolved',
  'save_state',
  'permission_changed',
  'room_left',
  'operation_confirmed',
  'pong',
  'an_event_of_next_year',
  'toString',
  '__proto__',
];
const NONSENSE: unknown[] = [
  undefined,
  null,
  0,
  -1,
  'text',
  [],
  [[]],
  {},
  { room_id: null },
  { room_id: 'song' },
  { room_id: 'song', user_id: {}, participant_count: -1, timestamp: 'now', message: undefined },
  { room_id: 'song', position: { line: -1, column: 'x' }, user_id: 1, timestamp: 1 },
  { room_id: 'song', revision: 1.5, operations: [{ type: 'explode' }], user_id: 1, timestamp: 1 },
  { room_id: 'song', revision: 1, operations: {}, user_id: 1, timestamp: 1 },
  { room_id: 'song', revision: 1, text: 5, last_seq: null, reason: [] },
  { limits: { messages: { count: -5, seconds: 'x' }, cursors: null, operations: [] } },
  { code: 'no_such_code', message: { html: '<script>' }, retry_after_ms: 'soon' },
];
const JOINED = {
  ...{ ok: true, room_id: 'song', participant_count: 1, permission: 'edit', revision: 0 },
  participants: [{ user_id: 'ada', connections: 1 }],
};

let http: HttpServer;
let server: Server;
let sockets: Socket[];
let page: Page;

beforeEach(async () => {
  http = createServer();
  server = new Server(http);
  sockets = [];
  server.on('connection', (socket) => sockets.push(socket));
  http.listen(0, '127.0.0.1');
  await once(http, 'listening');
  page = new Page(`http://127.0.0.1:${(http.address() as AddressInfo).port}`);
});

afterEach(async () => {
  page.service.destroy();
  await server.close();
});

/** A daemon that takes any token, and answers a join as it is told to. */
function answerWith(join: () => unknown): void {
  server.on('connection', (socket) => {
    socket.emit('connected', { message: 'hello' });
    socket.emit('authenticated', { user_id: 'ada' });
    socket.on('join_room', (_: unknown, answer: (payload: unknown) => void) => {
      answer(join());
    });
    socket.on('ping', (_: unknown, answer: (payload: unknown) => void) => {
      answer({ ok: true });
      answer({ ok: true });
    });
  });
}

test('a daemon that takes one for another user is asked for the room in their name', async () => {
  answerWith(() => JOINED);
  const witness = new Witness();
  page.service.connect('a token');
  page.service.hold('song', witness);
  await until(() => witness.names().includes('joined'));
  sockets[0]?.emit('authenticated', { user_id: 'bob' });
  await until(() => witness.names().filter((name) => name === 'joined').length === 2);
  expect(witness.names()).toEqual(['identified', 'joined', 'lost', 'identified', 'joined']);
  expect(page.service.userId).toBe('bob');
});

test('nonsense is dropped and told, and what makes sense after it is heard', async () => {
  answerWith(() => JOINED);
  const witness = new Witness();
  page.service.connect('a token');
  page.service.joinRoom('song');
  page.service.hold('song', witness);
  await until(() => witness.names().includes('joined'));
  const told = witness.told.length;
  for (const event of EVENTS) {
    for (const nonsense of NONSENSE) {
      const { room_id, user_id } = (nonsense ?? {}) as { room_id?: unknown; user_id?: unknown };
      // A room that one was put out of is not listened to any more; another user joins it anew.
      if (event === 'room_left' && room_id === 'song') continue;
      if (event === 'authenticated' && user_id === 1) continue;
      sockets[0]?.emit(event, nonsense, nonsense, 'and more');
    }
  }
  sockets[0]?.emit('room_message', { room_id: 'song', user_id: 'bob', message: 0, timestamp: 1 });
  await until(() => page.messages.length > 0);
  expect(page.said()).toEqual([0]);
  expect(witness.told.slice(told)).toEqual([['room_message', expect.anything()]]);
  expect(new Set(page.codes)).toEqual(new Set(['protocol', 'internal', 'token_expired']));
  expect(page.errors.every((error) => error instanceof RealtimeError)).toBe(true);
  expect(page.errors.every((error) => typeof error.message === 'string')).toBe(true);
  expect(page.status.state).toBe('connected');
});

test('an answer that makes no sense is as good as none: the room is asked for again', async () => {
  const answers = [{ ok: true }, { ...JOINED, participants: 5 }];
  answerWith(() => (answers.length > 0 ? answers.shift() : JOINED));
  page.service.connect('a token');
  page.service.joinRoom('song');
  await until(() => page.present('song'), 'in');
  expect(answers).toEqual([]);
});

test('what is no packet ends the link, and another one is made', async () => {
  answerWith(() => JOINED);
  page.service.connect('a token');
  page.service.joinRoom('song');
  for (const [count, garbage] of ['4', '4{}', '42["x"', '4\ud800'].entries()) {
    await until(() => sockets.length > count && page.status.state === 'connected', garbage);
    sockets.at(-1)?.conn.write(garbage.slice(1));
    // Some of it is only ignored.
    sockets.at(-1)?.conn.close();
    await until(() => page.status.state === 'reconnecting');
  }
  await until(() => page.status.state === 'connected');
});

test('a daemon that refuses the connection is asked again', async () => {
  let refused = 0;
  server.use((_, next) => {
    refused += 1;
    next(refused < 3 ? new Error('not now') : undefined);
  });
  answerWith(() => JOINED);
  page.service.connect('a token');
  await until(() => page.service.isReady());
  expect(refused).toBe(3);
  expect(page.statuses.some((status) => status.error?.message.includes('not now'))).toBe(true);
});

test('too many connections: the daemon says when to come again', async () => {
  page.service.destroy();
  const asked: number[] = [];
  const busy = createServer((_, response) => {
    asked.push(performance.now());
    response.writeHead(429, { 'Retry-After': '1' }).end();
  }).listen(0, '127.0.0.1');
  await once(busy, 'listening');
  page = new Page(`http://127.0.0.1:${(busy.address() as AddressInfo).port}`);
  page.service.connect('a token');
  await until(() => asked.length === 2);
  expect((asked[1] ?? 0) - (asked[0] ?? 0)).toBeGreaterThan(990);
  expect(page.status.error?.code).toBe('rate_limited');
  page.service.destroy();
  busy.close();
});

test('an address that is none, or where nobody is, is no exception', async () => {
  page.service.destroy();
  for (const url of ['http://127.0.0.1:1', 'http://[nonsense', 'no scheme at all://']) {
    page = new Page(url);
    page.service.connect('a token');
    await until(() => page.status.state === 'reconnecting');
    expect(page.status.error).toBeInstanceOf(RealtimeError);
    page.service.destroy();
  }
});

test('whatever is checked, the check itself does not throw', () => {
  fc.assert(
    fc.property(fc.constantFrom(...EVENTS), fc.anything(), (event, payload) => {
      if (isRoomEvent(event)) roomEvent(event, payload);
      roomJoined(payload);
      ratesOf(payload);
      return refusal(payload) instanceof RealtimeError;
    }),
    { numRuns: 2000 },
  );
});
