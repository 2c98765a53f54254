/** People at the demo's page: in a browser, at a daemon as `make run` starts it. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import type { Browser, BrowserContext } from 'playwright-core';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';

import { Daemon, until } from '../daemon';
import { Proxy } from '../proxy';
import { watch, type Watcher } from '../watcher';
import { Signer } from './signer';
import { agreed, launch, Visitor, type Who } from './visitor';

let browser: Browser;
let daemon: Daemon;
let proxy: Proxy;
let rooms = 0;
let roomId = '';
const visitors: Visitor[] = [];
const watchers: Watcher[] = [];

beforeAll(async () => {
  browser = await launch();
  daemon = await Daemon.start({}, ['--demo']);
  proxy = await Proxy.start(daemon.port);
});
afterEach(async () => {
  for (const { socket } of watchers.splice(0)) socket.disconnect();
  for (const visitor of visitors.splice(0)) await visitor.leave();
  proxy.isDown = false;
  proxy.blocksWebSockets = false;
  roomId = '';
});
afterAll(async () => {
  await browser.close();
  await proxy.stop();
  await daemon.stop();
});

/** Somebody comes to the song of this test. */
async function come(
  name: string,
  url = daemon.url,
  who: Partial<Who> = {},
  prepare?: (context: BrowserContext) => Promise<unknown>,
): Promise<Visitor> {
  if (roomId === '') roomId = `journey-${(rooms += 1)}`;
  const visitor = await Visitor.come(browser, url, roomId, { name, ...who }, prepare);
  visitors.push(visitor);
  return visitor;
}

async function watching(): Promise<readonly string[]> {
  const answer = await fetch(`${daemon.url}/demo/token?user=watcher`);
  const { token } = (await answer.json()) as { token: string };
  const watcher = await watch(daemon.url, token, roomId);
  watchers.push(watcher);
  return watcher.seen;
}

/** The letters of a text, whatever their order. */
const letters = (text: string): string => Array.from(text).sort().join('');

test('two edit one song at once, and both have one text', async () => {
  const [ada, bob] = [await come('ada'), await come('bob')];
  await Promise.all([ada.type('la la '.repeat(6)), bob.type('do re mi '.repeat(4))]);
  const text = await agreed([ada, bob]);
  expect(letters(text)).toBe(letters('la la '.repeat(6) + 'do re mi '.repeat(4)));
  await ada.press('Undo');
  await until(async () => !(await bob.text()).includes('la'));
  expect(letters(await agreed([ada, bob]))).toBe(letters('do re mi '.repeat(4)));
});

test('a page that is loaded again in the middle of typing loses nothing, and nobody sees a leave', async () => {
  const [ada, bob] = [await come('ada'), await come('bob')];
  const seen = await watching();
  let typed = '';
  for (const word of ['one ', 'two ', 'three ']) {
    await ada.type(word);
    typed += word;
    await ada.page.reload();
    // It is there before the daemon has said anything.
    await ada.shows(typed);
  }
  await ada.type('four');
  await bob.shows('one two three four');
  await agreed([ada, bob]);
  expect(seen).toEqual([]);
});

test('a daemon that is killed, and one that is ended, comes back to the song as it was', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'chordme-'));
  const store = { 'store.url': `sqlite:${folder}/songs.sqlite3` };
  const own = await Daemon.start(store, ['--demo']);
  try {
    const [ada, bob] = [await come('ada', own.url), await come('bob', own.url)];
    await ada.type('before ');
    await agreed([ada, bob]);
    for (const end of ['kill', 'stop'] as const) {
      await own[end]();
      await Promise.all([ada.is('offline'), bob.is('offline')]);
      await ada.type('ada ');
      await bob.type('bob ');
      await own.start();
      await agreed([ada, bob]);
    }
    const text = await ada.text();
    expect(letters(text)).toBe(letters('before ada bob ada bob '));
    expect(text.startsWith('before ')).toBe(true);
  } finally {
    await own.stop();
    rmSync(folder, { recursive: true });
  }
});

test('what is typed without a network waits, and arrives', async () => {
  const [ada, bob] = [await come('ada', proxy.url), await come('bob')];
  await ada.type('one ');
  await agreed([ada, bob]);
  proxy.isDown = true;
  proxy.cut();
  await ada.is('offline');
  await ada.type('two ');
  await bob.type('three ');
  await ada.shows('one two ');
  proxy.isDown = false;
  expect(letters(await agreed([ada, bob]))).toBe(letters('one two three '));
});

test('who goes offline by the button is gone, and comes back with what was typed', async () => {
  const [ada, bob] = [await come('ada'), await come('bob')];
  const seen = await watching();
  await ada.press('Go offline');
  await until(() => seen.includes('user_left ada'));
  await ada.type('alone ');
  expect(await bob.text()).toBe('');
  await ada.press('Go online');
  await bob.shows('alone ');
  await agreed([ada, bob]);
  expect(seen).toEqual(['user_left ada', 'user_joined ada']);
});

test('where WebSocket is blocked, everything goes over polling', async () => {
  proxy.blocksWebSockets = true;
  const [ada, bob] = [await come('ada', proxy.url), await come('bob', proxy.url)];
  await Promise.all([ada.type('slowly '.repeat(3)), bob.type('but surely '.repeat(2))]);
  const text = await agreed([ada, bob]);
  expect(letters(text)).toBe(letters('slowly '.repeat(3) + 'but surely '.repeat(2)));
  await ada.page.getByLabel('Message').fill('hello');
  await ada.press('Send');
  await bob.page.getByTestId('messages').getByText('hello').waitFor();
  expect(proxy.refused).toBeGreaterThanOrEqual(2);
});

test('who may only read sees everything and changes nothing', async () => {
  const [ada, eve] = [await come('ada'), await come('eve', daemon.url, { permission: 'read' })];
  await ada.type('[C]la la');
  await eve.shows('[C]la la');
  await eve.page.getByTestId('progress').getByText('View only').waitFor();
  await eve.type('mine');
  expect(await eve.text()).toBe('[C]la la');
  await ada.type('!');
  await eve.shows('[C]la la!');
  expect(await ada.text()).toBe('[C]la la!');
});

test('a token that expires is renewed: what is typed goes on, and nobody sees a leave', async () => {
  const plain = await Daemon.start({ 'auth.leeway': 0 });
  try {
    const [short, long] = [new Signer(plain), new Signer(plain)];
    short.lastsS = 4;
    const bob = await come('bob', plain.url, {}, long.serve);
    const ada = await come('ada', plain.url, {}, short.serve);
    await ada.type('before ');
    await bob.shows('before ');
    const watcher = await watch(plain.url, plain.token('watcher'), roomId);
    watchers.push(watcher);
    const given = short.count;
    short.lastsS = 3600;
    await until(() => short.isExpired || short.count > given, 'the token expires');
    await ada.type('after');
    await ada.shows('before after');
    await until(() => short.count > given, 'there is another');
    await bob.shows('before after');
    await agreed([ada, bob]);
    expect(watcher.seen).toEqual([]);
  } finally {
    await plain.stop();
  }
});

test('who signs in as somebody else finds nothing of theirs, and they find it again', async () => {
  const [ada, bob] = [await come('ada', proxy.url), await come('bob')];
  await ada.type('one ');
  await agreed([ada, bob]);
  proxy.isDown = true;
  proxy.cut();
  await ada.is('offline');
  await ada.type("ada's");
  await ada.shows("one ada's");
  await ada.page.goto('about:blank');
  proxy.isDown = false;
  await ada.comeAs({ name: 'eve' }, proxy.url, roomId);
  await ada.shows('one ');
  await ada.type("eve's");
  await bob.shows("one eve's");
  await ada.comeAs({ name: 'ada' }, proxy.url, roomId);
  expect(letters(await agreed([ada, bob]))).toBe(letters("one ada'seve's"));
});

test('five write one song at once', async () => {
  const five = [];
  for (const name of ['ada', 'bob', 'cyd', 'dan', 'eve']) five.push(await come(name));
  await Promise.all(five.map((visitor, index) => visitor.type(String(index).repeat(15))));
  const text = await agreed(five);
  expect(letters(text)).toBe([0, 1, 2, 3, 4].map((digit) => String(digit).repeat(15)).join(''));
  for (const { page } of five) {
    await page.locator('[data-testid=people][data-count="5"]').waitFor();
  }
});
