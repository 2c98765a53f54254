import { expect, test } from 'vitest';

import { sharedSong } from '../../src/roomSong';
import { until } from '../daemon';
import { World } from './world';

const world = new World();

test('a wrong token is told once, and a good one mends it', async () => {
  const page = world.open();
  page.service.connect('not.a.token');
  page.service.joinRoom(world.room);
  await until(() => page.status.state === 'error');
  expect(page.codes.filter((code) => code === 'invalid_token')).toHaveLength(page.errors.length);
  expect(page.status.error?.message).toBe('Invalid or expired token');
  page.service.authenticate('not.a.token');
  expect(page.status.state).toBe('error');
  page.service.authenticate(world.daemon.token('ada'));
  await until(() => page.present(world.room));
  expect(page.status).toMatchObject({ state: 'connected', error: null });
});

test('an expired token is renewed by asking for a fresh one', async () => {
  const page = world.open();
  const nowS = Math.floor(Date.now() / 1000);
  const tokens = [
    world.daemon.token('ada', { iat: nowS - 100, exp: nowS - 50 }),
    world.daemon.token('ada', { exp: nowS + 50 }),
  ];
  let asked = 0;
  page.service.connect(() => tokens[asked++] ?? world.daemon.token('ada'));
  page.service.joinRoom(world.room);
  // The first is refused; of the second the daemon says at once that it expires.
  await until(() => asked === 3 && page.present(world.room));
  expect(page.codes).toEqual(['token_expired']);
  expect(page.status.state).toBe('connected');
});

test('a token that expires while one is in a room is renewed without anybody seeing a leave', async () => {
  const bob = await world.join('bob');
  const ada = world.open();
  ada.service.joinRoom(world.room);
  // Longer and longer, until it lasts long enough to come in: a busy machine takes its time.
  for (let lastsS = 2; !ada.present(world.room); lastsS *= 2) {
    const exp = Math.floor(Date.now() / 1000) + lastsS;
    ada.service.authenticate(world.daemon.token('ada', { exp }));
    await until(() => ada.present(world.room) ?? ada.status.state === 'error');
  }
  await until(() => bob.present(world.room)?.length === 2);
  const before = bob.rooms.length;
  await until(() => ada.codes.includes('token_expired'));
  // Past its end, the next request says so.
  await until(() => {
    ada.service.sendMessage('too late?');
    return !ada.service.isReady();
  });
  expect(ada.status).toMatchObject({ state: 'error', connected: true, authenticated: false });
  ada.service.authenticate(world.daemon.token('ada'));
  await until(() => ada.service.isReady());
  await until(() => bob.said().length > 0);
  expect(bob.rooms.slice(before)).toEqual([]);
});

test('a function that gives no token is asked again', async () => {
  const page = world.open();
  let asked = 0;
  page.service.connect(() => {
    asked += 1;
    if (asked < 3) throw new Error('the backend is away, and this is a secret');
    return world.daemon.token('ada');
  });
  await until(() => page.service.isReady());
  const errors = page.statuses.map((status) => status.error?.message ?? '');
  expect(errors).toContain('There is no token to sign in with');
  expect(errors.join()).not.toContain('secret');
});

test.each([
  ['a token', (token: string) => token],
  ['a function', (token: string) => () => token],
])('who signs in with %s does nothing in the name of who was there', async (_, given) => {
  const [bob, page] = [await world.join('bob'), await world.join('ada', world.proxy.url)];
  const { song, release } = sharedSong(page.service, world.room).hold();
  const his = sharedSong(bob.service, world.room).hold();
  await until(() => song.getSnapshot().state === 'live', 'ada has the song');
  world.proxy.isDown = true;
  world.proxy.cut();
  await until(() => song.getSnapshot().state === 'offline', 'ada is offline');
  song.edit(["ada's"]);
  page.service.sendMessage("ada's");
  page.service.authenticate(given(world.daemon.token('eve')));
  world.proxy.isDown = false;
  await until(() => bob.present(world.room)?.includes('eve'), 'eve is in');
  await until(() => song.getSnapshot().state === 'live', 'eve has the song');
  expect(song.getSnapshot()).toMatchObject({ text: '', unsent: 0, userId: 'eve' });
  song.edit(["eve's"]);
  page.service.sendMessage("eve's");
  await until(() => his.song.getSnapshot().text === "eve's" && bob.said().length > 0);
  page.service.authenticate(given(world.daemon.token('ada')));
  await until(() => his.song.getSnapshot().text.includes("ada's"), 'ada has sent hers');
  expect(bob.messages.map(({ userId, data }) => [userId, data])).toEqual([['eve', "eve's"]]);
  release();
  his.release();
});

test('another user signs in on the same page', async () => {
  const bob = await world.join('bob');
  const page = await world.join('ada');
  await until(() => bob.present(world.room)?.includes('ada'));
  page.service.authenticate(world.daemon.token('eve'));
  await until(() => bob.present(world.room)?.join() === 'bob,eve');
  expect(page.status).toMatchObject({ state: 'connected', userId: 'eve' });
});
