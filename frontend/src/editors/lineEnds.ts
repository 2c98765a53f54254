/**
 * Editors know one kind of line end, `\n`; a song keeps its own, and counts `\r\n` as two units.
 */
import { canonical } from '../ot';
import type { Component, Operation } from '../types';

/** What an editor changes: parts of its text as it was before, in order, none touching another. */
export interface Change {
  readonly from: number;
  readonly to: number;
  readonly insert: string;
}

const LINE_ENDS = /\r\n?/g;

/** A song's text, and where its places are in an editor. */
export class LineEnds {
  /** The text as an editor shows it. */
  readonly shown: string;
  readonly #pairs: readonly number[];

  constructor(readonly text: string) {
    const matches = text.includes('\r') ? [...text.matchAll(LINE_ENDS)] : [];
    this.#pairs = matches.filter(([end]) => end.length === 2).map(({ index }) => index);
    this.shown = matches.length > 0 ? text.replace(LINE_ENDS, '\n') : text;
  }

  inEditor(offset: number): number {
    return offset - this.#pairs.filter((pair) => pair < offset).length;
  }

  inSong(offset: number): number {
    return offset + this.#pairs.filter((pair, nth) => pair - nth < offset).length;
  }

  /** What the song has to do for its text to be shown as the editor has it now. No character is cut. */
  operation(changes: readonly Change[]): Operation {
    const parts: Component[] = [];
    let at = 0;
    for (const change of changes) {
      let from = this.inSong(change.from);
      let to = this.inSong(change.to);
      let insert = this.#pairs.length > 0 ? change.insert.replace(/\n/g, '\r\n') : change.insert;
      if (isWithinCharacter(this.text, from)) {
        from -= 1;
        insert = this.text.slice(from, from + 1) + insert;
      }
      if (isWithinCharacter(this.text, to)) {
        insert += this.text.slice(to, to + 1);
        to += 1;
      }
      while (this.text[from - 1] === '\r' && (insert || this.text.slice(to)).startsWith('\n')) {
        from -= 1; // or two line ends would become one
        insert = `\n${insert}`;
      }
      parts.push(from - at, insert, from - to);
      at = to;
    }
    return canonical(parts);
  }

  /** What an editor has to do to show `after`, which an operation has made of this text. */
  changes(operation: Operation, after: LineEnds): Change[] {
    const changes: Change[] = [];
    for (const { start, end, newStart, newEnd } of this.#replaced(operation, after)) {
      const insert = after.text.slice(newStart, newEnd).replace(LINE_ENDS, '\n');
      changes.push({ from: this.inEditor(start), to: this.inEditor(end), insert });
    }
    return changes;
  }

  /** The parts that an operation replaces, widened so that none ends within a `\r\n`. */
  #replaced(operation: Operation, after: LineEnds): Replaced[] {
    const splits = (place: number, newPlace: number) =>
      isWithinPair(this.text, place) || isWithinPair(after.text, newPlace);
    const found: Replaced[] = [];
    for (const part of replacedBy(operation)) {
      const last = found[found.length - 1];
      if (splits(part.start, part.newStart)) {
        part.start -= 1;
        part.newStart -= 1;
      }
      if (splits(part.end, part.newEnd)) {
        part.end += 1;
        part.newEnd += 1;
      }
      if (last && part.start <= last.end) {
        last.end = part.end;
        last.newEnd = part.newEnd;
      } else {
        found.push(part);
      }
    }
    return found;
  }
}

/** The end of the last change, in the text after all of them. */
export function endOf(changes: readonly Change[]): number {
  const last = changes[changes.length - 1];
  const grown = changes.reduce((sum, { from, to, insert }) => sum + insert.length - (to - from), 0);
  return last ? last.to + grown : 0;
}

interface Replaced {
  start: number;
  end: number;
  newStart: number;
  newEnd: number;
}

function replacedBy(operation: Operation): Replaced[] {
  const found: Replaced[] = [];
  let place = 0;
  let newPlace = 0;
  let open: Replaced | null = null;
  for (const part of operation) {
    if (typeof part === 'number' && part > 0) {
      open = null;
      place += part;
      newPlace += part;
      continue;
    }
    if (!open) {
      open = { start: place, end: place, newStart: newPlace, newEnd: newPlace };
      found.push(open);
    }
    if (typeof part === 'string') {
      newPlace += part.length;
    } else {
      place -= part;
    }
    open.end = place;
    open.newEnd = newPlace;
  }
  return found;
}

function isWithinPair(text: string, place: number): boolean {
  return text[place - 1] === '\r' && text[place] === '\n';
}

function isWithinCharacter(text: string, place: number): boolean {
  return /^[\uD800-\uDBFF][\uDC00-\uDFFF]$/.test(text.slice(Math.max(0, place - 1), place + 1));
}
