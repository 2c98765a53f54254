import { expect, test } from 'vitest';

import { TabName } from '../../src/services/clientId';
import { Daemon, until } from '../daemon';
import { World } from './world';

const world = new World();

test('after a cut all is as it was: nobody saw a leave, and what was said meanwhile is heard once', async () => {
  const bob = await world.join('bob');
  const ada = await world.join('ada', world.proxy.url);
  await until(() => bob.present(world.room)?.length === 2);
  const before = bob.rooms.length;
  bob.service.sendMessage('before');
  await until(() => ada.messages.length === 1);
  world.proxy.isDown = true;
  world.proxy.cut();
  await until(() => ada.status.state === 'reconnecting');
  expect(ada.status).toMatchObject({ connected: false, reconnecting: true });
  expect(ada.status.reconnectingSince).not.toBeNull();
  ada.service.sendMessage('from afar');
  bob.service.sendMessage('meanwhile');
  await until(() => ada.status.retryCount >= 3);
  world.proxy.isDown = false;
  await until(() => ada.messages.length === 2 && bob.messages.length === 1);
  expect(ada.said()).toEqual(['before', 'meanwhile']);
  expect(bob.said()).toEqual(['from afar']);
  expect(ada.status).toMatchObject({ state: 'connected', retryCount: 0, reconnectingSince: null });
  expect(bob.rooms.slice(before)).toEqual([]);
});

test("a page that was cut off does not hear its own messages as somebody's", async () => {
  const bob = await world.join('bob');
  const ada = await world.join('ada', world.proxy.url);
  ada.service.sendMessage('mine');
  await until(() => bob.messages.length === 1);
  world.proxy.cut();
  await until(() => ada.status.state === 'reconnecting');
  bob.service.sendMessage('yours');
  await until(() => ada.messages.length > 0);
  expect(ada.said()).toEqual(['yours']);
});

test('a daemon that was killed and comes back finds its clients again', async () => {
  const own = await Daemon.start();
  try {
    const [ada, bob] = [world.open(own.url), world.open(own.url)];
    ada.service.connect(own.token('ada'));
    bob.service.connect(own.token('bob'));
    for (const page of [ada, bob]) page.service.joinRoom(world.room);
    await until(() => ada.present(world.room)?.length === 2);
    await own.kill();
    await until(() => ada.status.retryCount >= 2 && bob.status.retryCount >= 2);
    ada.service.sendMessage('still here');
    await own.start();
    await until(() => bob.messages.length === 1);
    await until(() => ada.present(world.room)?.length === 2);
    await own.stop();
    await until(() => ada.status.state === 'reconnecting');
    expect(ada.errors).toEqual([]);
  } finally {
    await own.stop();
  }
});

test('with WebSocket blocked everything works over polling', async () => {
  world.proxy.blocksWebSockets = true;
  const ada = await world.join('ada', world.proxy.url);
  const bob = await world.join('bob', world.proxy.url);
  expect(ada.status.transport).toBe('polling');
  await until(() => ada.present(world.room)?.length === 2);
  for (const page of [ada, bob]) await page.listen(world.room);
  ada.service.sendMessage('slowly');
  ada.service.sendOperation({ type: 'insert', position: 0, content: 'la' });
  await until(() => bob.messages.length === 1 && bob.operations.length === 1);
  world.proxy.cut();
  await until(() => ada.status.state === 'connected' && bob.status.state === 'connected');
  bob.service.sendOperation({ type: 'insert', position: 2, content: 'la' });
  await until(() => ada.operations.length === 1);
  expect(ada.status.transport).toBe('polling');
});

test('who disconnects says goodbye, and may connect again', async () => {
  const bob = await world.join('bob');
  const ada = await world.join('ada');
  await until(() => bob.present(world.room)?.length === 2);
  ada.service.disconnect();
  expect(ada.status).toMatchObject({ state: 'disconnected', connected: false, userId: null });
  await until(() => bob.present(world.room)?.length === 1);
  ada.service.connect();
  await until(() => bob.present(world.room)?.length === 2);
});

test('a tab that is refreshed goes on under its name, and its copy has one of its own', async () => {
  const values = new Map<string, string>();
  const storage = {
    getItem: (name: string) => values.get(name) ?? null,
    setItem: (name: string, value: string) => values.set(name, value),
  };
  const openChannel = (name: string): BroadcastChannel => new BroadcastChannel(name);
  const ada = world.open(world.daemon.url, new TabName({ storage, locks: null, openChannel }));
  const copy = world.open(
    world.daemon.url,
    new TabName({ storage: { ...storage, setItem: () => undefined }, locks: null, openChannel }),
  );
  const witness = await world.join('bob');
  for (const page of [ada, copy]) {
    page.service.connect(world.daemon.token('ada'));
    page.service.joinRoom(world.room);
    await until(() => page.present(world.room));
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
  const [first, second] = [world.open(world.daemon.url, tab), world.open(world.daemon.url, tab)];
  first.service.connect(world.daemon.token('ada'));
  await until(() => first.service.isReady());
  second.service.connect(world.daemon.token('ada'));
  await until(() => first.status.state === 'error');
  expect(first.codes).toEqual(['forbidden']);
  await until(() => second.service.isReady());
  expect(first.status.retryCount).toBe(0);
  first.service.connect();
  await until(() => first.service.isReady());
});
