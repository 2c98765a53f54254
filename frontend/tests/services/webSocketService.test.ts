import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';

import { TabName } from '../../src/services/clientId';
import { Daemon, until } from '../daemon';
import { Proxy } from '../proxy';
import { Page, Witness } from './page';

let daemon: Daemon;
let proxy: Proxy;
let pages: Page[] = [];
let rooms = 0;
let room = '';

beforeAll(async () => {
  daemon = await Daemon.start();
  proxy = await Proxy.start(daemon.port);
});

afterAll(async () => {
  await proxy.stop();
  await daemon.stop();
});

afterEach(() => {
  for (const page of pages) page.service.destroy();
  pages = [];
  proxy.isDown = false;
  proxy.blocksWebSockets = false;
});

function open(url = daemon.url, tab?: TabName): Page {
  if (pages.length === 0) room = `song-${(rooms += 1)}`;
  const page = new Page(url, tab);
  pages.push(page);
  return page;
}

/** A page of that user in the room of this test. */
async function join(user: string, url = daemon.url): Promise<Page> {
  const page = open(url);
  page.service.connect(daemon.token(user));
  page.service.joinRoom(room);
  await until(() => page.present(room), `${user} is in`);
  return page;
}

// In every order

test('nothing connects before it is asked to', () => {
  const page = open();
  expect(page.status).toMatchObject({ state: 'disconnected', connected: false, retryCount: 0 });
  expect(page.service.isReady()).toBe(false);
  expect(page.service.getCurrentRoom()).toBeNull();
});

test.each([
  [
    'connect, join',
    (page: Page, token: string) => {
      page.service.connect(token);
      page.service.joinRoom(room);
    },
  ],
  [
    'join, connect',
    (page: Page, token: string) => {
      page.service.joinRoom(room);
      page.service.connect(token);
    },
  ],
  [
    'authenticate alone',
    (page: Page, token: string) => {
      page.service.authenticate(token);
      page.service.joinRoom(room);
    },
  ],
  [
    'connect, join, authenticate',
    (page: Page, token: string) => {
      page.service.connect();
      page.service.joinRoom(room);
      page.service.authenticate(token);
    },
  ],
  [
    'a token that is promised',
    (page: Page, token: string) => {
      page.service.connect(() => Promise.resolve(token));
      page.service.joinRoom(room);
    },
  ],
])('%s: in any order one is in the room', async (_, begin) => {
  const page = open();
  begin(page, daemon.token('ada'));
  await until(() => page.present(room));
  expect(page.service.isReady()).toBe(true);
  expect(page.service.getCurrentRoom()).toBe(room);
  expect(page.status).toMatchObject({ state: 'connected', userId: 'ada', error: null });
  expect(page.present(room)).toEqual(['ada']);
  expect(page.errors).toEqual([]);
});

test('a page may wait for the link, and then say who it is', async () => {
  const page = open();
  page.service.connect();
  await until(() => page.status.connected);
  expect(page.status).toMatchObject({ state: 'authenticating', authenticated: false });
  page.service.authenticate(daemon.token(7));
  await until(() => page.service.isReady());
  expect(page.status.userId).toBe(7);
});

test('the status is one object until something changes, and tells latency and transport', async () => {
  const page = open();
  page.service.connect(daemon.token('ada'));
  await until(() => page.status.latency !== null && page.status.transport === 'websocket');
  expect(page.service.getConnectionStatus()).toBe(page.service.getConnectionStatus());
  expect(page.statuses.map((status) => status.state)).toEqual(
    expect.arrayContaining(['connecting', 'authenticating', 'connected']),
  );
  expect(page.statuses.at(-1)).toBe(page.status);
  expect(page.status.latency).toBeLessThan(1000);
});

test('what is said before one is in goes out then, once and in order', async () => {
  const bob = await join('bob');
  const ada = open();
  ada.service.joinRoom(room);
  for (const count of [1, 2, 3]) ada.service.sendMessage({ count });
  ada.service.connect(daemon.token('ada'));
  await until(() => bob.messages.length === 3);
  expect(bob.said()).toEqual([{ count: 1 }, { count: 2 }, { count: 3 }]);
  expect(bob.messages[0]).toMatchObject({ type: 'room_message', userId: 'ada', roomId: room });
});

test('who comes and goes is told, and where cursors are', async () => {
  const ada = await join('ada');
  const bob = await join('bob');
  await until(() => ada.present(room)?.length === 2);
  for (const column of [1, 2, 3]) bob.service.sendCursorUpdate({ line: 2, column });
  await until(() => ada.cursors.length > 0);
  expect(ada.cursors).toHaveLength(1);
  expect(ada.cursors[0]).toMatchObject({ line: 2, column: 3, userId: 'bob', roomId: room });
  bob.service.leaveRoom();
  expect(bob.service.getCurrentRoom()).toBeNull();
  await until(() => ada.present(room)?.length === 1);
  expect(ada.rooms.at(-1)?.participantCount).toBe(1);
});

test('a listener that throws harms no other, and one that unsubscribed hears no more', async () => {
  const told = vi.spyOn(console, 'error').mockImplementation(() => undefined);
  const ada = open();
  const bob = await join('bob');
  let heard = 0;
  ada.service.onMessage(() => {
    throw new Error('a page fails');
  });
  const unsubscribe = ada.service.onMessage(() => (heard += 1));
  ada.service.connect(daemon.token('ada'));
  ada.service.joinRoom(room);
  await until(() => ada.present(room));
  bob.service.sendMessage('one');
  await until(() => heard === 1);
  unsubscribe();
  bob.service.sendMessage('two');
  await until(() => ada.messages.length === 2);
  expect(heard).toBe(1);
  expect(told).toHaveBeenCalledTimes(2);
  told.mockRestore();
});

// Losses

test('after a cut all is as it was: nobody saw a leave, and what was said meanwhile is heard once', async () => {
  const bob = await join('bob');
  const ada = await join('ada', proxy.url);
  await until(() => bob.present(room)?.length === 2);
  const before = bob.rooms.length;
  bob.service.sendMessage('before');
  await until(() => ada.messages.length === 1);
  proxy.isDown = true;
  proxy.cut();
  await until(() => ada.status.state === 'reconnecting');
  expect(ada.status).toMatchObject({ connected: false, reconnecting: true });
  expect(ada.status.reconnectingSince).not.toBeNull();
  ada.service.sendMessage('from afar');
  bob.service.sendMessage('meanwhile');
  await until(() => ada.status.retryCount >= 3);
  proxy.isDown = false;
  await until(() => ada.messages.length === 2 && bob.messages.length === 1);
  expect(ada.said()).toEqual(['before', 'meanwhile']);
  expect(bob.said()).toEqual(['from afar']);
  expect(ada.status).toMatchObject({ state: 'connected', retryCount: 0, reconnectingSince: null });
  expect(bob.rooms.slice(before)).toEqual([]);
});

test("a page that was cut off does not hear its own messages as somebody's", async () => {
  const bob = await join('bob');
  const ada = await join('ada', proxy.url);
  ada.service.sendMessage('mine');
  await until(() => bob.messages.length === 1);
  proxy.cut();
  await until(() => ada.status.state === 'reconnecting');
  bob.service.sendMessage('yours');
  await until(() => ada.messages.length > 0);
  expect(ada.said()).toEqual(['yours']);
});

test('a daemon that was killed and comes back finds its clients again', async () => {
  const own = await Daemon.start();
  try {
    const [ada, bob] = [open(own.url), open(own.url)];
    ada.service.connect(own.token('ada'));
    bob.service.connect(own.token('bob'));
    for (const page of [ada, bob]) page.service.joinRoom(room);
    await until(() => ada.present(room)?.length === 2);
    await own.kill();
    await until(() => ada.status.retryCount >= 2 && bob.status.retryCount >= 2);
    ada.service.sendMessage('still here');
    await own.start();
    await until(() => bob.messages.length === 1);
    await until(() => ada.present(room)?.length === 2);
    await own.stop();
    await until(() => ada.status.state === 'reconnecting');
    expect(ada.errors).toEqual([]);
  } finally {
    await own.stop();
  }
});

test('with WebSocket blocked everything works over polling', async () => {
  proxy.blocksWebSockets = true;
  const ada = await join('ada', proxy.url);
  const bob = await join('bob', proxy.url);
  expect(ada.status.transport).toBe('polling');
  await until(() => ada.present(room)?.length === 2);
  ada.listen();
  bob.listen();
  ada.service.sendMessage('slowly');
  ada.service.sendOperation({ type: 'insert', position: 0, content: 'la' });
  await until(() => bob.messages.length === 1 && bob.operations.length === 1);
  proxy.cut();
  await until(() => ada.status.state === 'connected' && bob.status.state === 'connected');
  bob.service.sendOperation({ type: 'insert', position: 2, content: 'la' });
  await until(() => ada.operations.length === 1);
  expect(ada.status.transport).toBe('polling');
});

test('who disconnects says goodbye, and may connect again', async () => {
  const bob = await join('bob');
  const ada = await join('ada');
  await until(() => bob.present(room)?.length === 2);
  ada.service.disconnect();
  expect(ada.status).toMatchObject({ state: 'disconnected', connected: false, userId: null });
  await until(() => bob.present(room)?.length === 1);
  ada.service.connect();
  await until(() => bob.present(room)?.length === 2);
});

test('a tab that is refreshed goes on under its name, and its copy has one of its own', async () => {
  const values = new Map<string, string>();
  const storage = {
    getItem: (name: string) => values.get(name) ?? null,
    setItem: (name: string, value: string) => values.set(name, value),
  };
  const openChannel = (name: string): BroadcastChannel => new BroadcastChannel(name);
  const ada = open(daemon.url, new TabName({ storage, locks: null, openChannel }));
  const copy = open(
    daemon.url,
    new TabName({ storage: { ...storage, setItem: () => undefined }, locks: null, openChannel }),
  );
  const witness = await join('bob');
  for (const page of [ada, copy]) {
    page.service.connect(daemon.token('ada'));
    page.service.joinRoom(room);
    await until(() => page.present(room));
  }
  ada.service.sendMessage('to my copy');
  await until(() => copy.messages.length === 1);
  copy.service.sendMessage('to my original');
  await until(() => ada.messages.length === 1 && witness.messages.length === 2);
  expect(ada.status.state).toBe('connected');
});

test('a link that its successor has taken over does not come back by itself', async () => {
  const name = { storage: null, locks: null, openChannel: null };
  const tab = new TabName(name);
  const [first, second] = [open(daemon.url, tab), open(daemon.url, tab)];
  first.service.connect(daemon.token('ada'));
  await until(() => first.service.isReady());
  second.service.connect(daemon.token('ada'));
  await until(() => first.status.state === 'error');
  expect(first.codes).toEqual(['forbidden']);
  await until(() => second.service.isReady());
  expect(first.status.retryCount).toBe(0);
  first.service.connect();
  await until(() => first.service.isReady());
});

// Tokens

test('a wrong token is told once, and a good one mends it', async () => {
  const page = open();
  page.service.connect('not.a.token');
  page.service.joinRoom(room);
  await until(() => page.status.state === 'error');
  expect(page.codes.filter((code) => code === 'invalid_token')).toHaveLength(page.errors.length);
  expect(page.status.error?.message).toBe('Invalid or expired token');
  page.service.authenticate('not.a.token');
  expect(page.status.state).toBe('error');
  page.service.authenticate(daemon.token('ada'));
  await until(() => page.present(room));
  expect(page.status).toMatchObject({ state: 'connected', error: null });
});

test('an expired token is renewed by asking for a fresh one', async () => {
  const page = open();
  const nowS = Math.floor(Date.now() / 1000);
  const tokens = [
    daemon.token('ada', { iat: nowS - 100, exp: nowS - 50 }),
    daemon.token('ada', { exp: nowS + 50 }),
  ];
  let asked = 0;
  page.service.connect(() => tokens[asked++] ?? daemon.token('ada'));
  page.service.joinRoom(room);
  // The first is refused; of the second the daemon says at once that it expires.
  await until(() => asked === 3 && page.present(room));
  expect(page.codes).toEqual(['token_expired']);
  expect(page.status.state).toBe('connected');
});

test('a token that expires while one is in a room is renewed without anybody seeing a leave', async () => {
  const bob = await join('bob');
  const ada = open();
  ada.service.connect(daemon.token('ada', { exp: Math.floor(Date.now() / 1000) + 2 }));
  ada.service.joinRoom(room);
  await until(() => bob.present(room)?.length === 2);
  const before = bob.rooms.length;
  await until(() => ada.codes.includes('token_expired'));
  // Past its end, the next request says so.
  await until(() => {
    ada.service.sendMessage('too late?');
    return !ada.service.isReady();
  });
  expect(ada.status).toMatchObject({ state: 'error', connected: true, authenticated: false });
  ada.service.authenticate(daemon.token('ada'));
  await until(() => ada.service.isReady());
  await until(() => bob.said().length > 0);
  expect(bob.rooms.slice(before)).toEqual([]);
});

test('a function that gives no token is asked again', async () => {
  const page = open();
  let asked = 0;
  page.service.connect(() => {
    asked += 1;
    if (asked < 3) throw new Error('the backend is away, and this is a secret');
    return daemon.token('ada');
  });
  await until(() => page.service.isReady());
  const errors = page.statuses.map((status) => status.error?.message ?? '');
  expect(errors).toContain('There is no token to sign in with');
  expect(errors.join()).not.toContain('secret');
});

test('another user signs in on the same page', async () => {
  const bob = await join('bob');
  const page = await join('ada');
  await until(() => bob.present(room)?.includes('ada'));
  page.service.authenticate(daemon.token('eve'));
  await until(() => bob.present(room)?.join() === 'bob,eve');
  expect(page.status).toMatchObject({ state: 'connected', userId: 'eve' });
});

// Refusals

test('a refused room is told with its code, and tried again with another token', async () => {
  const page = open();
  const witness = new Witness();
  page.service.connect(daemon.token('ada', { rooms: { other: 'read' } }));
  page.service.hold(room, witness);
  page.service.joinRoom(room);
  await until(() => page.codes.includes('forbidden'));
  expect(page.errors[0]).toMatchObject({
    message: 'Not authorized for this room',
    details: { event: 'join_room', roomId: room },
  });
  expect(page.service.getCurrentRoom()).toBeNull();
  expect(witness.told).toEqual([['lost', 'forbidden']]);
  page.service.authenticate(daemon.token('ada', { rooms: { [room]: 'read' } }));
  await until(() => witness.names().includes('joined'));
  expect(page.rooms.at(-1)?.permission).toBe('read');
});

test('what cannot be a room, or is said in none, is told and goes nowhere', () => {
  const page = open();
  page.service.joinRoom('no room!');
  page.service.sendMessage('hello?');
  page.service.sendOperation({ type: 'insert', position: 0, content: 'x' });
  page.service.sendCursorUpdate({ line: 0, column: 0 });
  expect(page.codes).toEqual(['invalid_room', 'not_in_room', 'not_in_room']);
  expect(() => page.service.hold('no room!', new Witness())).toThrow('Invalid room ID');
});

test('more than the rate allows waits for its turn, and nothing is refused', async () => {
  const own = await Daemon.start({ 'limits.messages': '5/1' });
  try {
    const [ada, bob] = [open(own.url), open(own.url)];
    ada.service.connect(own.token('ada'));
    bob.service.connect(own.token('bob'));
    for (const page of [ada, bob]) page.service.joinRoom(room);
    await until(() => ada.present(room)?.length === 2);
    for (let count = 0; count < 10; count += 1) ada.service.sendMessage(count);
    await until(() => bob.messages.length === 10);
    expect(bob.said()).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(ada.errors).toEqual([]);
  } finally {
    await own.stop();
  }
});

// Holding a room

test('who holds a room is told of each join, then of what happens, then of the loss', async () => {
  const ada = open(proxy.url);
  const witness = new Witness();
  witness.wished = { document: true };
  ada.service.connect(daemon.token('ada'));
  const link = ada.service.hold(room, witness);
  await until(() => witness.names().includes('joined'));
  const [[, joined]] = witness.told as [[string, { document: unknown; last_seq: number }]];
  expect(joined).toMatchObject({ document: { text: '' }, last_seq: 0, revision: 0 });
  await link.request('collaboration_operation', {
    operation: { type: 'insert', position: 0, content: 'la' },
    revision: 0,
    seq: 1,
  });
  await expect(
    link.request('collaboration_operation', { operation: { type: 'format' }, revision: 1, seq: 2 }),
  ).rejects.toMatchObject({ code: 'invalid_operation' });
  proxy.cut();
  await until(() => witness.names().includes('lost'));
  await expect(link.request('broadcast_message', { message: 1 })).rejects.toMatchObject({
    code: 'connection_lost',
  });
  witness.wished = { revision: 0 };
  await until(() => witness.names().filter((name) => name === 'joined').length === 2);
  expect(witness.told.at(-1)?.[1]).toMatchObject({
    operations: [{ revision: 1, seq: 1, client_id: link.clientId }],
  });
  link.rejoin();
  await until(() => witness.names().filter((name) => name === 'joined').length === 3);
  expect(() => ada.service.hold(room, new Witness())).toThrow('open already');
  link.release();
  expect(() => ada.service.hold(room, new Witness())).not.toThrow();
});

test('an answer is taken in before what the daemon says after it', async () => {
  const order: string[] = [];
  const ada = open();
  const bob = open();
  const witness = new Witness();
  witness.event = (name) => order.push(name);
  for (const page of [ada, bob]) page.service.connect(daemon.token(`user-${pages.indexOf(page)}`));
  const link = ada.service.hold(room, witness);
  const other = bob.service.hold(room, new Witness());
  await until(() => ada.present(room)?.length === 2);
  order.length = 0;
  const text = { type: 'insert', position: 0, content: 'x' };
  const mine = link
    .request('collaboration_operation', { operation: text, revision: 0, seq: 1 })
    .then((answer) => answer)
    .then((answer) => answer)
    .then(() => order.push('answered'));
  const theirs = other.request('collaboration_operation', { operation: text, revision: 0, seq: 1 });
  await Promise.all([mine, theirs]);
  await until(() => order.length === 2);
  expect(order).toEqual(['answered', 'collaboration_update']);
});
