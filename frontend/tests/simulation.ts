/** Several people at one song, and a link between each of them and the server that is cut. */

import { canonical, whole } from '../src/ot';
import { openSong } from '../src/song';
import type { Component, Operation, Song } from '../src/types';
import type { SessionStore } from '../src/unsent';
import { MemoryLink, MemoryServer } from './memoryServer';

/** Numbers that are the same for the same seed (mulberry32). */
export class Dice {
  constructor(private state: number) {}

  /** One of 0 to count - 1. */
  roll(count: number): number {
    this.state = (this.state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % count;
  }

  choose<Item>(items: readonly Item[]): Item {
    return items[this.roll(items.length)] as Item;
  }
}

const PIECES = ['a', 'b', 'xyz', '[Am]', '\n', '\r\n', 'é', '♭', '😀', '😁', '🎸x'];

/** One to three changes that cut no character; `piece` gives what is put in. */
export function randomEdit(
  dice: Dice,
  text: string,
  piece = (): string => dice.choose(PIECES),
): Operation {
  const rest = Array.from(text);
  const parts: Component[] = [];
  for (let count = 1 + dice.roll(3); count > 0; count--) {
    parts.push(rest.splice(0, dice.roll(rest.length + 1)).join('').length);
    if (dice.roll(2) > 0) parts.push(piece());
    else parts.push(-rest.splice(0, 1 + dice.roll(4)).join('').length);
  }
  return canonical(parts);
}

/** The storage of one tab. */
export class MemoryStore implements SessionStore {
  readonly items = new Map<string, string>();

  getItem(key: string): string | null {
    return this.items.get(key) ?? null;
  }

  setItem(key: string, value: string): void {
    this.items.set(key, value);
  }

  removeItem(key: string): void {
    this.items.delete(key);
  }
}

export class Person {
  readonly link: MemoryLink;
  readonly store = new MemoryStore();
  song: Song;
  /** What an editor shows that applies every change. */
  shown = '';

  constructor(server: MemoryServer, clientId: string) {
    this.link = new MemoryLink(server, clientId);
    this.song = this.open();
  }

  get text(): string {
    return this.song.getSnapshot().text;
  }

  reconnect(): void {
    if (!this.link.isLinked && this.link.isIdle) this.link.rejoin();
  }

  /** The page is loaded again. */
  refresh(): void {
    this.song.close();
    this.link.cut(true);
    this.song = this.open();
  }

  private open(): Song {
    const song = openSong(this.link, 'song', { storage: this.store, now: () => 0 });
    this.shown = song.getSnapshot().text;
    song.onChange(({ operation }) => {
      this.shown = applied(this.shown, operation);
    });
    return song;
  }
}

function applied(text: string, operation: Operation): string {
  let [out, at] = ['', 0];
  for (const part of operation) {
    if (typeof part === 'string') out += part;
    else if (part < 0) at -= part;
    else {
      out += text.slice(at, at + part);
      at += part;
    }
  }
  return whole(out + text.slice(at));
}
