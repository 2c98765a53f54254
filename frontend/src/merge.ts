/** Two edits of one text, unit by unit: what became of the tokens that both changed. */

import { apply } from './ot';
import type { Operation } from './types';

/** Where a token is in a text: its start, its inside, from `first` to `last`, and its end. */
export interface Token {
  readonly start: number;
  readonly first: number;
  readonly last: number;
  readonly end: number;
  readonly isChord: boolean;
}

/** At which gap an edit puts something in, where that is then, its length, and that before. */
interface Insert {
  readonly gap: number;
  readonly place: number;
  readonly length: number;
  readonly offset: number;
}

/** A part that keeps or deletes `count` units from `start` on; at `place` they are then, or were. */
interface Part {
  readonly count: number;
  readonly start: number;
  readonly place: number;
}

/** An edit that tells what became of each unit, and the text after it. */
class Edit {
  readonly text: string;
  private readonly parts: Part[] = [];
  private readonly inserts: Insert[] = [];

  constructor(operation: Operation, before: string) {
    this.text = apply(before, operation);
    let [start, place, offset] = [0, 0, 0];
    // What it does not reach is kept.
    for (const part of [...operation, before.length + 1]) {
      if (typeof part === 'string') {
        this.inserts.push({ gap: start, place, length: part.length, offset });
        place += part.length;
        offset += part.length;
      } else {
        this.parts.push({ count: part, start, place });
        start += Math.abs(part);
        place += Math.max(part, 0);
      }
    }
  }

  /** Whether it changed the inside of a token, and left the rest as it was. */
  changes({ start, first, last, end }: Token): boolean {
    const isKept = this.count(start, first) > 0 && this.count(last, end) > 0;
    return isKept && this.count(start, end) === 0;
  }

  deletes(token: Token): boolean {
    return this.count(token.start, token.end) < 0;
  }

  /** The inside of a token that it changed; null if it deleted the token. */
  made(token: Token): string | null {
    if (this.deletes(token)) return null;
    return this.text.slice(this.place(token.first - 1) + 1, this.place(token.last));
  }

  /** Where a unit is that was kept. */
  place(unit: number): number {
    const { start, place } = this.part(unit);
    return place + unit - start;
  }

  /** Where units are that were kept; in several places, if something was put in between. */
  runs(start: number, end: number): [start: number, end: number][] {
    const found: [start: number, end: number][] = [];
    while (start < end) {
      const part = this.part(start);
      const next = Math.min(end, part.start + Math.abs(part.count));
      const place = this.place(start);
      found.push([place, place + next - start]);
      start = next;
    }
    return found;
  }

  /** Where something is that was put in after so much else: that is the same after theirs. */
  placeOfInserted(offset: number): number {
    const insert = last(this.inserts, (one) => one.offset <= offset);
    return insert.place + offset - insert.offset;
  }

  insertsIn(token: Token): Insert[] {
    return this.inserts.filter(({ gap }) => token.first <= gap && gap <= token.last);
  }

  /** The one part that has all of these units, or 0: what is kept as it is, is in one part. */
  private count(start: number, end: number): number {
    const part = this.part(start);
    return part === this.part(end - 1) ? part.count : 0;
  }

  private part(unit: number): Part {
    return last(this.parts, ({ start }) => start <= unit);
  }
}

/** Two edits of a text, and what mine is after theirs: it leads to the merged text. */
export class MergedEdits {
  readonly mine: Edit;
  readonly theirs: Edit;
  private readonly after: Edit;

  constructor(text: string, mine: Operation, theirs: Operation, mineAfter: Operation) {
    this.theirs = new Edit(theirs, text);
    this.mine = new Edit(mine, text);
    this.after = new Edit(mineAfter, this.theirs.text);
  }

  /** The merged text. */
  get text(): string {
    return this.after.text;
  }

  /** Whether both changed a token, or one did and the other deleted it. */
  concerns(token: Token): boolean {
    const { mine, theirs } = this;
    if (mine.changes(token)) return theirs.changes(token) || theirs.deletes(token);
    return mine.deletes(token) && theirs.changes(token);
  }

  /**
   * Where is in the merged text what both made of the inside of a token.
   *
   * If one deleted the token, that is what the other put in, and may be in several places.
   */
  places(token: Token): [start: number, end: number][] {
    const { mine, theirs, after } = this;
    if (mine.deletes(token)) {
      return theirs
        .insertsIn(token)
        .flatMap(({ place, length }) => after.runs(place, place + length));
    }
    if (theirs.deletes(token)) {
      return mine.insertsIn(token).map(({ offset, length }) => {
        const start = after.placeOfInserted(offset);
        return [start, start + length];
      });
    }
    const [before, end] = [token.first - 1, token.last].map((unit) =>
      after.place(theirs.place(unit)),
    ) as [number, number];
    return [[before + 1, end]];
  }
}

/** The last of which it is true; it is true of the first ones, and of one at least. */
function last<Item>(items: readonly Item[], isTrue: (item: Item) => boolean): Item {
  let [low, high] = [0, items.length];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (isTrue(items[middle] as Item)) low = middle;
    else high = middle;
  }
  return items[low] as Item;
}
