import { expect, test } from 'vitest';

import { Daemon, until } from '../daemon';
import { Witness } from './page';
import { World } from './world';

const world = new World();

test('a refused room is told with its code, and tried again with another token', async () => {
  const page = world.open();
  const witness = new Witness();
  page.service.connect(world.daemon.token('ada', { rooms: { other: 'read' } }));
  page.service.hold(world.room, witness);
  page.service.joinRoom(world.room);
  await until(() => page.codes.includes('forbidden'));
  expect(page.errors[0]).toMatchObject({
    message: 'Not authorized for this room',
    details: { event: 'join_room', roomId: world.room },
  });
  expect(page.service.getCurrentRoom()).toBeNull();
  expect(witness.told).toEqual([
    ['identified', 'ada'],
    ['lost', 'forbidden'],
  ]);
  page.service.authenticate(world.daemon.token('ada', { rooms: { [world.room]: 'read' } }));
  await until(() => witness.names().includes('joined'));
  expect(page.rooms.at(-1)?.permission).toBe('read');
});

test('what cannot be a room, or is said in none, is told and goes nowhere', () => {
  const page = world.open();
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
    const [ada, bob] = [world.open(own.url), world.open(own.url)];
    ada.service.connect(own.token('ada'));
    bob.service.connect(own.token('bob'));
    for (const page of [ada, bob]) page.service.joinRoom(world.room);
    await until(() => ada.present(world.room)?.length === 2);
    for (let count = 0; count < 10; count += 1) ada.service.sendMessage(count);
    await until(() => bob.messages.length === 10);
    expect(bob.said()).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(ada.errors).toEqual([]);
  } finally {
    await own.stop();
  }
});

test('who holds a room is told of each join, then of what happens, then of the loss', async () => {
  const ada = world.open(world.proxy.url);
  const witness = new Witness();
  witness.wished = { document: true };
  ada.service.connect(world.daemon.token('ada'));
  const link = ada.service.hold(world.room, witness);
  await until(() => witness.names().includes('joined'));
  const [[, user], [, joined]] = witness.told as [[string, string], [string, object]];
  expect(user).toBe('ada');
  expect(joined).toMatchObject({ document: { text: '' }, last_seq: 0, revision: 0 });
  await link.request('collaboration_operation', {
    operation: { type: 'insert', position: 0, content: 'la' },
    revision: 0,
    seq: 1,
  });
  await expect(
    link.request('collaboration_operation', { operation: { type: 'format' }, revision: 1, seq: 2 }),
  ).rejects.toMatchObject({ code: 'invalid_operation' });
  world.proxy.cut();
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
  expect(() => ada.service.hold(world.room, new Witness())).toThrow('open already');
  link.release();
  expect(() => ada.service.hold(world.room, new Witness())).not.toThrow();
});

test('an answer is taken in before what the daemon says after it', async () => {
  const order: string[] = [];
  const ada = world.open();
  const bob = world.open();
  const witness = new Witness();
  witness.event = (name) => order.push(name);
  for (const page of [ada, bob])
    page.service.connect(world.daemon.token(`user-${world.pages.indexOf(page)}`));
  const link = ada.service.hold(world.room, witness);
  const other = bob.service.hold(world.room, new Witness());
  await until(() => ada.present(world.room)?.length === 2);
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
