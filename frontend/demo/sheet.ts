/** ChordPro as a song sheet: chords over lyrics, section by section. */
import { ChordLyricsPair, ChordProParser, Literal, Tag, type Line, type Song } from 'chordsheetjs';

/** A chord, or a remark like `softly`, over the lyrics that begin there. */
export interface Pair {
  readonly chord: string;
  readonly annotation: string;
  readonly lyrics: string;
}

/** What is not broken when a line is too long. */
export type Word = readonly Pair[];

export type SheetLine =
  | { readonly kind: 'lyrics'; readonly words: readonly Word[]; readonly hasChords: boolean }
  | { readonly kind: 'comment' | 'verbatim'; readonly text: string };

export interface Section {
  /** `verse`, `chorus`, `bridge`, `tab` …; empty outside of all. */
  readonly kind: string;
  readonly label: string;
  readonly lines: readonly SheetLine[];
}

export interface Sheet {
  readonly title: string;
  readonly subtitle: string;
  readonly artist: string;
  readonly key: string;
  readonly facts: readonly string[];
  readonly sections: readonly Section[];
  /** Lines, from 1, that are not ChordPro yet: somebody is typing there. */
  readonly unread: readonly number[];
}

const MOST_ATTEMPTS = 50;
/** What may mean something in ChordPro. */
const MARKS = /[[\]{}\\%|]/g;
const LABELS: Readonly<Record<string, string>> = {
  chorus: 'Chorus',
  bridge: 'Bridge',
  tab: 'Tab',
  grid: 'Grid',
};

/** The sheet of a song, `steps` semitones up or down. */
export function sheetOf(text: string, steps = 0): Sheet {
  const { song: written, unread } = read(text);
  const song = transposed(written, steps);
  return {
    title: song.title ?? '',
    subtitle: one(song.subtitle),
    artist: one(song.artist),
    key: one(song.key),
    facts: facts(song),
    sections: sectionsOf(song.lines),
    unread,
  };
}

/** In another key; as it is written if its own is none. */
function transposed(song: Song, steps: number): Song {
  try {
    return steps === 0 ? song : song.transpose(steps);
  } catch {
    return song;
  }
}

/** Reads a song as far as it can be read: a line that cannot is taken as it stands. */
function read(text: string): { song: Song; unread: number[] } {
  const lines = text.split('\n');
  // The parser would blame what comes after a bracket that is not closed yet.
  const unread = lines.flatMap((line, index) => (isOpen(line) ? [index + 1] : []));
  for (const line of unread) {
    lines[line - 1] = lines[line - 1]?.replace(MARKS, ' ') ?? '';
  }
  for (let attempt = 0; attempt < MOST_ATTEMPTS; attempt += 1) {
    try {
      return { song: new ChordProParser().parse(lines.join('\n')), unread };
    } catch (error) {
      const line = lineOf(error);
      const bad = line === null ? undefined : lines[line - 1];
      if (line === null || bad === undefined || unread.includes(line)) {
        break;
      }
      unread.push(line);
      lines[line - 1] = bad.replace(MARKS, ' ');
    }
  }
  const plain = text.replace(MARKS, ' ');
  return { song: new ChordProParser().parse(plain), unread: [1] };
}

/** Whether a bracket or brace has no other one. */
function isOpen(line: string): boolean {
  return /[[{}]/.test(line.replace(/\[[^[\]]*\]|\{[^{}]*\}/g, ''));
}

function lineOf(error: unknown): number | null {
  const { location } = error as { location?: { start?: { line?: unknown } } };
  const line = location?.start?.line;
  return typeof line === 'number' ? line : null;
}

function one(value: string | string[] | null | undefined): string {
  return Array.isArray(value) ? value.join(', ') : (value ?? '');
}

function facts(song: Song): string[] {
  const { capo, tempo, time } = song;
  return [one(capo) && `Capo ${one(capo)}`, one(tempo) && `${one(tempo)} bpm`, one(time)].filter(
    (fact) => fact !== '',
  );
}

class Sections {
  readonly done: Section[] = [];
  #kind = '';
  #label = '';
  #lines: SheetLine[] = [];

  begin(kind: string, label: string): void {
    this.end();
    this.#kind = kind;
    this.#label = label || (LABELS[kind] ?? '');
  }

  end(): void {
    if (this.#lines.length > 0 || this.#label !== '') {
      this.done.push({ kind: this.#kind, label: this.#label, lines: this.#lines });
    }
    this.#kind = this.#label = '';
    this.#lines = [];
  }

  /** A blank line ends what is no section. */
  blank(): void {
    if (this.#kind === '') {
      this.end();
    }
  }

  add(line: SheetLine): void {
    this.#lines.push(line);
  }
}

function sectionsOf(lines: readonly Line[]): Section[] {
  const sections = new Sections();
  for (const { items } of lines) {
    const pairs: Pair[] = [];
    for (const item of items) {
      if (item instanceof Tag) {
        directive(item, sections);
      } else if (item instanceof Literal) {
        sections.add({ kind: 'verbatim', text: item.string });
      } else if (item instanceof ChordLyricsPair) {
        pairs.push({
          chord: item.chords.trim(),
          annotation: item.annotation ?? '',
          lyrics: item.lyrics ?? '',
        });
      }
    }
    if (pairs.some(({ chord, annotation, lyrics }) => chord || annotation || lyrics.trim())) {
      const hasChords = pairs.some(({ chord, annotation }) => chord || annotation);
      sections.add({ kind: 'lyrics', words: wordsOf(pairs), hasChords });
    } else if (items.length === pairs.length) {
      sections.blank();
    }
  }
  sections.end();
  return sections.done;
}

function directive(tag: Tag, sections: Sections): void {
  if (tag.isSectionStart()) {
    sections.begin(tag.name.replace('start_of_', ''), tag.label || tag.value);
  } else if (tag.isSectionEnd()) {
    sections.end();
  } else if (tag.name === 'chorus') {
    sections.begin('repeat', tag.value || 'Chorus');
    sections.end();
  } else if (tag.isComment() || tag.name === 'highlight' || tag.name === 'comment_italic') {
    sections.add({ kind: 'comment', text: tag.value });
  }
}

function wordsOf(pairs: readonly Pair[]): Word[] {
  const words: Word[] = [];
  let word: Pair[] = [];
  for (const pair of pairs) {
    word.push(pair);
    if (/\s$/.test(pair.lyrics) || pair.lyrics === '') {
      words.push(word);
      word = [];
    }
  }
  return word.length > 0 ? [...words, word] : words;
}
