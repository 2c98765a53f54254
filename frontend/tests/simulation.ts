/** Several people at one song, and a link between each of them and the server that is cut. */

import { canonical, whole } from '../src/ot';
import { openSong } from '../src/song';
import type { Component, Operation, Song } from '../src/types';
import type { SessionStore } from '../src/tabCopy';
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
export class MemoryStore {
  readonly items = new Map<string, string>();
  private loads = 0;

  /** How many songs are kept. */
  get copies(): number {
    return [...this.items.keys()].filter((key) => key.startsWith('chordme.song.')).length;
  }

  /** As the page has it that is loaded now; what the page before it does is done to nothing. */
  load(): SessionStore {
    this.loads += 1;
    const load = this.loads;
    const items = (): Map<string, string> =>
      load === this.loads ? this.items : new Map<string, string>();
    return {
      getItem: (key) => items().get(key) ?? null,
      setItem: (key, value) => {
        items().set(key, value);
      },
      removeItem: (key) => {
        items().delete(key);
      },
    };
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
    this.song = this.open(this.store.load());
  }

  get text(): string {
    return this.song.getSnapshot().text;
  }

  reconnect(): void {
    if (!this.link.isLinked && this.link.isIdle) this.link.rejoin();
  }

  /** The page is gone without a word, and loaded again: with what it had saved by then. */
  refresh(): void {
    const { song } = this;
    const store = this.store.load();
    song.close();
    this.link.cut(true);
    this.song = this.open(store);
  }

  private open(storage: SessionStore): Song {
    const song = openSong(this.link, 'song', { storage, now: () => 0 });
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
