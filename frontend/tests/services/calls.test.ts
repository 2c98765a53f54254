import { expect, test, vi } from 'vitest';

import { until } from '../daemon';
import type { Page } from './page';
import { World } from './world';

const world = new World();

test('nothing connects before it is asked to', () => {
  const page = world.open();
  expect(page.status).toMatchObject({ state: 'disconnected', connected: false, retryCount: 0 });
  expect(page.service.isReady()).toBe(false);
  expect(page.service.getCurrentRoom()).toBeNull();
});

test.each([
  [
    'connect, join',
    (page: Page, token: string) => {
      page.service.connect(token);
      page.service.joinRoom(world.room);
    },
  ],
  [
    'join, connect',
    (page: Page, token: string) => {
      page.service.joinRoom(world.room);
      page.service.connect(token);
    },
  ],
  [
    'authenticate alone',
    (page: Page, token: string) => {
      page.service.authenticate(token);
      page.service.joinRoom(world.room);
    },
  ],
  [
    'connect, join, authenticate',
    (page: Page, token: string) => {
      page.service.connect();
      page.service.joinRoom(world.room);
      page.service.authenticate(token);
    },
  ],
  [
    'a token that is promised',
    (page: Page, token: string) => {
      page.service.connect(() => Promise.resolve(token));
      page.service.joinRoom(world.room);
    },
  ],
])('%s: in any order one is in the room', async (_, begin) => {
  const page = world.open();
  begin(page, world.daemon.token('ada'));
  await until(() => page.present(world.room));
  expect(page.service.isReady()).toBe(true);
  expect(page.service.getCurrentRoom()).toBe(world.room);
  expect(page.status).toMatchObject({ state: 'connected', userId: 'ada', error: null });
  expect(page.present(world.room)).toEqual(['ada']);
  expect(page.errors).toEqual([]);
});

test('a page may wait for the link, and then say who it is', async () => {
  const page = world.open();
  page.service.connect();
  await until(() => page.status.connected);
  expect(page.status).toMatchObject({ state: 'authenticating', authenticated: false });
  page.service.authenticate(world.daemon.token(7));
  await until(() => page.service.isReady());
  expect(page.status.userId).toBe(7);
});

test('the status is one object until something changes, and tells latency and transport', async () => {
  const page = world.open();
  page.service.connect(world.daemon.token('ada'));
  await until(() => page.status.latency !== null && page.status.transport === 'websocket');
  expect(page.service.getConnectionStatus()).toBe(page.service.getConnectionStatus());
  expect(page.statuses.map((status) => status.state)).toEqual(
    expect.arrayContaining(['connecting', 'authenticating', 'connected']),
  );
  expect(page.statuses.at(-1)).toBe(page.status);
  expect(page.status.latency).toBeGreaterThanOrEqual(0);
});

test('what is said before one is in goes out then, once and in order', async () => {
  const bob = await world.join('bob');
  const ada = world.open();
  ada.service.joinRoom(world.room);
  for (const count of [1, 2, 3]) ada.service.sendMessage({ count });
  ada.service.connect(world.daemon.token('ada'));
  await until(() => bob.messages.length === 3);
  expect(bob.said()).toEqual([{ count: 1 }, { count: 2 }, { count: 3 }]);
  expect(bob.messages[0]).toMatchObject({
    type: 'room_message',
    userId: 'ada',
    roomId: world.room,
  });
});

test('who comes and goes is told, and where cursors are', async () => {
  const ada = await world.join('ada');
  const bob = await world.join('bob');
  await until(() => ada.present(world.room)?.length === 2);
  for (const column of [1, 2, 3]) bob.service.sendCursorUpdate({ line: 2, column });
  await until(() => ada.cursors.length > 0);
  expect(ada.cursors).toHaveLength(1);
  expect(ada.cursors[0]).toMatchObject({ line: 2, column: 3, userId: 'bob', roomId: world.room });
  bob.service.leaveRoom();
  expect(bob.service.getCurrentRoom()).toBeNull();
  await until(() => ada.present(world.room)?.length === 1);
  expect(ada.rooms.at(-1)?.participantCount).toBe(1);
});

test('a listener that throws harms no other, and one that unsubscribed hears no more', async () => {
  const told = vi.spyOn(console, 'error').mockImplementation(() => undefined);
  const ada = world.open();
  const bob = await world.join('bob');
  let heard = 0;
  ada.service.onMessage(() => {
    throw new Error('a page fails');
  });
  const unsubscribe = ada.service.onMessage(() => (heard += 1));
  ada.service.connect(world.daemon.token('ada'));
  ada.service.joinRoom(world.room);
  await until(() => ada.present(world.room));
  bob.service.sendMessage('one');
  await until(() => heard === 1);
  unsubscribe();
  bob.service.sendMessage('two');
  await until(() => ada.messages.length === 2);
  expect(heard).toBe(1);
  expect(told).toHaveBeenCalledTimes(2);
  told.mockRestore();
});
