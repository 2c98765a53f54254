import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

import { expect, test } from 'vitest';

import { sharedSong } from '../../src/roomSong';
import type { CollaborationOperation } from '../../src/services/flatOperations';
import { Daemon, until } from '../daemon';
import type { Page } from './page';
import { World } from './world';

const world = new World();

/** What ChordMe's editor does: it has a text, edits it, and applies what it is told as it comes. */
class Editor {
  text: string;
  readonly told: CollaborationOperation[] = [];

  constructor(
    readonly page: Page,
    text = '',
  ) {
    this.text = text;
    page.service.onOperation((operation) => {
      this.told.push(operation);
      this.apply(operation);
    });
  }

  insert(position: number, content: string): void {
    this.apply({ type: 'insert', position, content });
    this.page.service.sendOperation({ id: 'mine', type: 'insert', position, content });
  }

  delete(position: number, length: number): void {
    this.apply({ type: 'delete', position, length });
    this.page.service.sendOperation({ type: 'delete', position, length });
  }

  private apply({
    type,
    position,
    content = '',
    length = 0,
  }: Pick<CollaborationOperation, 'type' | 'position' | 'content' | 'length'>): void {
    const end = position + (type === 'delete' ? length : 0);
    this.text = this.text.slice(0, position) + content + this.text.slice(end);
  }
}

/** An editor that is told from now on what becomes of the text. */
async function editing(page: Page, text = ''): Promise<Editor> {
  const editor = new Editor(page, text);
  await page.listen(world.room);
  return editor;
}

test('two editors that know no revisions have one text', async () => {
  const ada = await editing(await world.join('ada'));
  const bob = await editing(await world.join('bob'));
  ada.insert(0, '{title: Song}\n');
  await until(() => bob.text === ada.text);
  expect(bob.told).toHaveLength(1);
  expect(bob.told[0]).toMatchObject({
    ...{ type: 'insert', position: 0, content: '{title: Song}\n' },
    ...{ userId: 'ada', roomId: world.room, revision: 1 },
  });
  // At once, and at the same places.
  for (const [index, letter] of Array.from('ABCDEFGH').entries()) {
    ada.insert(14 + index, letter);
    bob.insert(14 + index, letter.toLowerCase());
  }
  bob.delete(0, 3);
  await until(() => ada.text === bob.text && ada.text.length === 11 + 16);
  expect(ada.text).toMatch(/ABCDEFGH/);
  expect(ada.text).toMatch(/abcdefgh/);
  expect(ada.told.every((operation) => operation.userId === 'bob')).toBe(true);
});

test('what was typed while the link was gone arrives, and so does what the others typed', async () => {
  const ada = await editing(await world.join('ada', world.proxy.url));
  const bob = await editing(await world.join('bob'));
  ada.insert(0, 'la la');
  await until(() => bob.text === 'la la');
  world.proxy.isDown = true;
  world.proxy.cut();
  await until(() => ada.page.status.state === 'reconnecting');
  for (const [index, letter] of Array.from(' offline').entries()) ada.insert(5 + index, letter);
  bob.insert(0, 'online ');
  await until(() => ada.page.status.retryCount >= 2);
  world.proxy.isDown = false;
  await until(() => ada.text === bob.text && ada.text === 'online la la offline');
  expect(ada.told.map((operation) => operation.userId)).toEqual(['bob']);
});

test('who comes later has loaded the song elsewhere, and is told what changes from then on', async () => {
  const ada = await editing(await world.join('ada'));
  ada.insert(0, 'la');
  const song = sharedSong(ada.page.service, world.room);
  await until(() => song.getSnapshot().unsent === 0);
  const witness = await editing(await world.join('witness'), 'la');
  const page = world.open();
  const bob = new Editor(page, 'la');
  page.service.connect(world.daemon.token('bob'));
  page.service.joinRoom(world.room);
  // Before the song is there.
  bob.insert(2, '!');
  await until(() => ada.text === 'la!' && witness.text === 'la!');
  ada.insert(0, 'la ');
  await until(() => bob.text === 'la la!');
  expect(bob.told).toHaveLength(1);
});

test('operations that are none are refused with their code, and others as far as they fit', async () => {
  const ada = await world.join('ada');
  const bob = await editing(await world.join('bob'));
  ada.service.sendOperation({ type: 'format', position: 0, length: 1 });
  ada.service.sendOperation({ type: 'insert', position: -1, content: 'x' });
  ada.service.sendOperation({ type: 'delete', position: 0, length: 0 });
  expect(ada.codes).toEqual(['invalid_operation', 'invalid_operation', 'invalid_operation']);
  ada.service.sendOperation({ type: 'retain' });
  ada.service.sendOperation({ type: 'delete', position: 0, length: 5 });
  ada.service.sendOperation({ type: 'insert', position: 99, content: 'end' });
  await until(() => bob.text === 'end');
  expect(ada.errors).toHaveLength(3);
});

test('a daemon that was killed and has forgotten nothing goes on with the song', async () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'chordme-'));
  const own = await Daemon.start({ 'store.url': `sqlite:${folder}/songs.sqlite3` });
  try {
    const pages = ['ada', 'bob'].map((user) => {
      const page = world.open(own.url);
      page.service.connect(own.token(user));
      page.service.joinRoom(world.room);
      return page;
    });
    const [ada, bob] = (await Promise.all(pages.map((page) => editing(page)))) as [Editor, Editor];
    ada.insert(0, 'before ');
    await until(() => bob.text === ada.text);
    await own.kill();
    await until(() => ada.page.status.retryCount > 0 && bob.page.status.retryCount > 0);
    ada.insert(7, 'ada');
    bob.insert(7, 'bob');
    await own.start();
    await until(() => ada.text === bob.text && ada.text.length === 13);
  } finally {
    await own.stop();
    rmSync(folder, { recursive: true });
  }
});
