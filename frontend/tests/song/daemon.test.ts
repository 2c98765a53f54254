/** Songs at a real daemon, over a line that breaks. */

import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';

import { Backoff } from '../../src/services/backoff';
import { TabName } from '../../src/services/clientId';
import { WebSocketService } from '../../src/services/webSocketService';
import { openSong } from '../../src/song';
import type { SessionStore } from '../../src/tabCopy';
import type { Song } from '../../src/types';
import { Daemon, until } from '../daemon';
import { Proxy } from '../proxy';
import { Dice, MemoryStore, randomEdit } from '../simulation';

let daemon: Daemon;
let proxy: Proxy;
let rooms = 0;
let roomId = '';
const pages: Page[] = [];

beforeAll(async () => {
  // Pages that come and go; nothing else of them is needed here.
  vi.stubGlobal('window', new EventTarget());
  vi.stubGlobal('document', new EventTarget());
  daemon = await Daemon.start({ 'limits.operations': 0, 'limits.joins': 0 });
  proxy = await Proxy.start(daemon.port);
});
afterEach(() => {
  for (const page of pages.splice(0)) page.leave();
  proxy.isDown = false;
});
afterAll(async () => {
  await proxy.stop();
  await daemon.stop();
});

/** A tab: what it has stored lives on when its page is loaded again. */
class Page {
  song!: Song;
  private service!: WebSocketService;

  constructor(
    private readonly user: string,
    private readonly at: Daemon = daemon,
    private readonly url = at.url,
    private readonly claims = {},
    private readonly store = new MemoryStore(),
  ) {
    pages.push(this);
    this.open(this.store.load());
  }

  get text(): string {
    return this.song.getSnapshot().text;
  }

  get isSent(): boolean {
    const { state, unsent } = this.song.getSnapshot();
    return state === 'live' && unsent === 0;
  }

  /** Load the page again, without a goodbye. */
  refresh(): void {
    window.dispatchEvent(new Event('pagehide'));
    const store = this.store.load();
    if (this.url === proxy.url) proxy.cut();
    this.leave();
    this.open(store);
  }

  leave(): void {
    this.song.close();
    this.service.destroy();
  }

  private open(storage: SessionStore): void {
    const tab = new TabName({ storage, locks: null, openChannel: null });
    this.service = new WebSocketService({ url: this.url, tab, backoff: new Backoff(() => 0.1) });
    this.service.connect(this.at.token(this.user, this.claims));
    this.song = openSong(this.service, roomId, { storage });
  }
}

async function join(...pages: Page[]): Promise<void> {
  await until(() => pages.every(({ song }) => song.getSnapshot().state === 'live'));
}

function inNewRoom(): void {
  rooms += 1;
  roomId = `song-${rooms}`;
}

test('two people type into one song, and each undoes only what is theirs', async () => {
  inNewRoom();
  const [ada, bob] = [new Page('ada'), new Page('bob')];
  await join(ada, bob);
  ada.song.edit(['ada']);
  bob.song.edit(['bob']);
  await until(() => ada.isSent && bob.isSent && ada.text === bob.text && ada.text.length === 6);
  expect(ada.song.undo()).toBe(true);
  await until(() => bob.text === 'bob' && ada.text === 'bob');
  ada.song.redo();
  ada.song.moveCursor(1);
  await until(() => bob.text.length === 6 && bob.song.getSnapshot().cursors.length === 1);
  expect(bob.song.getSnapshot().cursors).toMatchObject([{ userId: 'ada', name: 'ada', offset: 1 }]);
  ada.leave();
  await until(() => bob.song.getSnapshot().cursors.length === 0);
});

test('five people and a line that breaks end with one text', async () => {
  inNewRoom();
  const dice = new Dice(7);
  const five = ['ada', 'bob', 'cyd', 'dan', 'eve'].map(
    (user, index) => new Page(user, daemon, index > 1 ? proxy.url : daemon.url),
  );
  await join(...five);
  for (let step = 0; step < 300; step++) {
    const { song } = dice.choose(five);
    song.edit(randomEdit(dice, song.getSnapshot().text));
    if (step % 50 === 49) proxy.cut();
    if (step % 70 === 69) dice.choose(five.slice(2)).refresh();
    await new Promise((resolve) => setTimeout(resolve, dice.roll(8)));
    if (step % 100 === 99) await join(...five);
  }
  await until(() => five.every((page) => page.isSent && page.text === five[0]?.text), 'one');
});

test('what is typed offline goes out as one, and a page loaded again has it still', async () => {
  inNewRoom();
  const [ada, bob] = [new Page('ada', daemon, proxy.url), new Page('bob')];
  await join(ada, bob);
  ada.song.edit(['online ']);
  await until(() => bob.text === 'online ');
  proxy.isDown = true;
  proxy.cut();
  await until(() => ada.song.getSnapshot().state === 'offline');
  for (const letter of '♭😀!') ada.song.edit([ada.text.length, letter]);
  bob.song.edit([7, 'bob']);
  ada.refresh();
  expect(ada.song.getSnapshot()).toMatchObject({ state: 'offline', text: 'online ♭😀!' });
  ada.song.edit([ada.text.length, '?']);
  proxy.isDown = false;
  await until(() => ada.isSent && bob.text === ada.text);
  expect(bob.text).toMatch(/^online (♭😀!\?bob|bob♭😀!\?)$/);
  // Online, what was offline, and bob's: what waits goes out as little as can be.
  expect(bob.song.getSnapshot().revision).toBeLessThanOrEqual(4);
});

test('a page that is loaded again while it types loses nothing', async () => {
  inNewRoom();
  const [ada, bob] = [new Page('ada', daemon, proxy.url), new Page('bob')];
  await join(ada, bob);
  let typed = '';
  for (let step = 0; step < 60; step++) {
    const letter = String.fromCharCode(97 + (step % 26));
    ada.song.edit(typed === '' ? [letter] : [typed.length, letter]);
    typed += letter;
    if (step % 20 === 10) ada.refresh();
    if (step % 5 === 0) await new Promise((resolve) => setTimeout(resolve, 3));
  }
  await until(() => ada.isSent && bob.text === typed, 'all has arrived');
  expect(ada.text).toBe(typed);
});

test('a long song is pasted in pieces', async () => {
  inNewRoom();
  const [ada, bob] = [new Page('ada'), new Page('bob')];
  await join(ada, bob);
  const text = '[Am]la "la" 🎸 B♭\r\n'.repeat(3000);
  ada.song.setText(text);
  await until(() => bob.text === text, 'it has arrived');
  await until(() => ada.isSent);
  bob.song.setText('');
  await until(() => ada.text === '');
  // One deletion; many scattered ones take several.
  ada.song.setText('x'.repeat(1000));
  await until(() => bob.text.length === 1000);
  bob.song.edit(Array.from({ length: 998 }, (_, index) => (index % 2 > 0 ? 1 : -1)).slice(0, -1));
  await until(() => bob.isSent && ada.text === bob.text);
  expect(ada.text.length).toBe(1000 - 499);
});

test('a text that would be too long stays on the screen, and says so', async () => {
  inNewRoom();
  const ada = new Page('ada');
  await join(ada);
  ada.song.setText('x'.repeat(200_001));
  const look = () => ada.song.getSnapshot();
  await until(() => look().error?.code === 'document_too_large', 'it is refused');
  expect([look().text.length, look().unsent > 0]).toEqual([200_001, true]);
  ada.song.edit([-1]);
  await until(() => ada.isSent);
  expect(look()).toMatchObject({ error: null, unsent: 0 });
});

test('who may only read sees everything and changes nothing', async () => {
  inNewRoom();
  const ada = new Page('ada');
  const bob = new Page('bob', daemon, daemon.url, { rooms: { [roomId]: 'read' } });
  await join(ada, bob);
  ada.song.edit(['la']);
  await until(() => bob.text === 'la');
  expect(bob.song.getSnapshot().permission).toBe('read');
  expect(() => {
    bob.song.edit(['x']);
  }).toThrow('not edit');
  expect(bob.song.undo()).toBe(false);
});

test('a daemon that has forgotten everything takes nobody anything away', async () => {
  inNewRoom();
  const own = await Daemon.start();
  try {
    const ada = new Page('ada', own);
    await join(ada);
    ada.song.edit(['la la']);
    await until(() => ada.isSent);
    await own.kill();
    await until(() => ada.song.getSnapshot().state === 'offline');
    ada.song.edit([5, '!']);
    await own.start();
    await until(() => ada.song.getSnapshot().state === 'live');
    expect(ada.song.getSnapshot()).toMatchObject({ text: '!', error: { code: 'stale_revision' } });
    ada.song.undo();
    await until(() => ada.isSent);
    expect(ada.song.getSnapshot()).toMatchObject({ text: 'la la!', error: null });
  } finally {
    await own.stop();
  }
});

test('with the limits as they are, what is typed fast arrives', async () => {
  inNewRoom();
  const own = await Daemon.start({ 'limits.operations': '5/5' });
  try {
    const [ada, bob] = [new Page('ada', own), new Page('bob', own)];
    await join(ada, bob);
    let mostUnsent = 0;
    for (let step = 0; step < 40; step++) {
      ada.song.edit(['x']);
      mostUnsent = Math.max(mostUnsent, ada.song.getSnapshot().unsent);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    expect(mostUnsent).toBeGreaterThan(1);
    await until(() => bob.text.length === 40, 'all of it');
    expect(ada.song.getSnapshot().error).toBeNull();
  } finally {
    await own.stop();
  }
});
