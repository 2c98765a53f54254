/**
 * Chords and directives that two people changed at the same time: rule R.
 *
 * The same as `chordme_daemon/app/chordpro.py`, which says what the rule is;
 * `tests/vectors/chordpro.json` is run by both.
 *
 * The later of the two is who was still waiting for an answer when the other's edit came. They
 * alone issue the correction, as an edit like any other. It is for the caller to look only at what
 * people did: a correction is not corrected.
 */

import { MergedEdits, type Token } from './merge';
import { OperationError, canonical, reach, whole } from './ot';
import type { Component, Operation } from './types';

/** Two edits of more parts than this are the work of programs: nothing of theirs is corrected. */
const MOST_PARTS = 1000;
/** No token is longer, so it begins so near to a change. */
const REACH = 256;
const BRACKETS = /\[([^[\]\r\n]{0,250})\]/y;
const DIRECTIVE = new RegExp(
  String.raw`\{[ \t]{0,9}` +
    '(?:title|t|subtitle|st|artist|composer|key|capo|tempo|time|duration|year|album)' +
    String.raw`[ \t]{0,9}:[ \t]{0,9}([^{}\r\n]{0,200})\}(?![^\r\n])`,
  'y',
);

// C, F#, B♭, German H, Fis and Es; not Esus.
const NOTE = '(?:[AE](?:[#b♯♭]|[ei]s|s(?!us))?|[B-DF-H](?:[#b♯♭]|[ei]s)?)';
const MAJOR = '(?:[Mm]aj?|M|[Δ△^])';
const DEGREE = '(?:[2-79]|1[13])';
const CHANGE = `(?:sus(?:2/?4|[24])?|(?:add|omit|no)[#b♯♭]?${DEGREE}|[#b♯♭+-]${DEGREE})`;
const EXTRA = `(?:${CHANGE}|${MAJOR}?${DEGREE})`;
// A quality and a number, what is changed of that, and a bass. N.C. is none, *… is a remark.
const CHORD = new RegExp(
  `^(?:${NOTE}(?<kind>(?:dim|aug|[+°oø]|${MAJOR}|(?:min?|m|-)?(?:${MAJOR}(?=[179]))?)` +
    String.raw`(?:6/?9|7[M+]?|7?alt|${DEGREE})?` +
    allOf('changes', CHANGE) +
    String.raw`(?:\(${EXTRA}${allOf('extras', `[,/ ]?${EXTRA}`)}\)${allOf('more', CHANGE)})?)` +
    String.raw`(?:/${NOTE})?|N\.?C\.?|\*[^[\]\r\n]+)$`,
);
// What no chord has twice: Csus4sus4 was made by two people.
const ONCE = /sus|add|omit|no|[Mm]aj|[#b♯♭+-][0-9]+/g;

/** As many as there are, and never fewer after all: what was looked at is not tried again. */
function allOf(name: string, pattern: string): string {
  return String.raw`(?=(?<${name}>(?:${pattern})*))\k<${name}>`;
}

/** What stays of a token, and what does not. */
export interface Conflict {
  readonly kept: string;
  readonly dropped: string;
}

/** The correction, an operation on the merged text, and what it decides. */
export interface Resolution {
  readonly operation: Operation;
  readonly conflicts: readonly Conflict[];
}

interface Fix {
  readonly start: number;
  readonly end: number;
  readonly put: string;
}

/**
 * What the later author has to correct after both edits of a text; null if nothing.
 *
 * `mine` is the later edit, and `mineAfter` is it after `theirs`.
 */
export function resolve(
  text: string,
  mine: Operation,
  theirs: Operation,
  mineAfter: Operation,
): Resolution | null {
  if (mine.length + theirs.length > MOST_PARTS) return null;
  const tokens = tokensOf(text, mine, theirs);
  if (tokens.length === 0) return null;
  try {
    return resolution(tokens, new MergedEdits(text, mine, theirs, mineAfter));
  } catch (error) {
    if (error instanceof OperationError) return null; // half a character: it will be refused
    throw error;
  }
}

function resolution(tokens: readonly Token[], merged: MergedEdits): Resolution | null {
  const fixes: Fix[] = [];
  const conflicts: Conflict[] = [];
  for (const token of tokens) {
    if (!merged.concerns(token)) continue;
    const places = merged.places(token);
    const became = places.map(([start, end]) => merged.text.slice(start, end)).join('');
    const made = [merged.mine.made(token), merged.theirs.made(token)] as const;
    const winner = winnerOf(token, became, ...made);
    if (winner === became) continue;
    for (const [start, end] of places) fixes.push({ start, end, put: winner });
    for (const one of made) {
      if (one && one !== winner) conflicts.push({ kept: whole(winner), dropped: whole(one) });
    }
  }
  // A canonical insert stands before what its author deletes, so they may not be in order here.
  fixes.sort((one, other) => one.start - other.start || one.end - other.end);
  const operation = replace(merged.text, fixes);
  return operation.length > 0 ? { operation, conflicts } : null;
}

/** What is to become of what both made of a token, or one of them if the other deleted it. */
function winnerOf(
  token: Token,
  became: string,
  mine: string | null,
  theirs: string | null,
): string {
  const foreign = token.isChord ? /[[\]\r\n]/ : /[{}\r\n]/;
  if (foreign.test(mine ?? '') || foreign.test(theirs ?? '')) return became;
  if (mine === null || theirs === null) return '';
  if (!token.isChord) return became === mine || became === theirs ? became : mine;
  return [became, mine, theirs].find(isChord) ?? became;
}

/** The tokens inside of which an operation changes something, in their order. */
function tokensOf(text: string, ...operations: Operation[]): Token[] {
  const found = new Map<number, Token>();
  for (const operation of operations) {
    let at = 0;
    for (const part of operation) {
      const end = at + reach([part]);
      if (typeof part === 'string' || (part < 0 && part > -REACH)) {
        const token = tokenAround(text, at, end);
        if (token !== null) found.set(token.start, token);
      }
      at = end;
    }
  }
  return [...found.values()].sort((one, other) => one.start - other.start);
}

/** The token that has a place inside. */
function tokenAround(text: string, start: number, end: number): Token | null {
  const low = Math.max(0, start - REACH);
  const before = text.slice(low, start);
  const from = (at: number): number => (at < 0 ? -1 : low + at);
  const line = from(Math.max(before.lastIndexOf('\n'), before.lastIndexOf('\r'))) + 1;
  const tries = [
    [DIRECTIVE, line],
    [BRACKETS, from(before.lastIndexOf('['))],
  ] as const;
  for (const [pattern, at] of tries) {
    if (at < 0) continue;
    pattern.lastIndex = at;
    const match = pattern.exec(text);
    if (match === null || end > pattern.lastIndex - 1) continue;
    const last = pattern.lastIndex - 1;
    const first = last - (match[1] ?? '').length;
    return { start: at, first, last, end: last + 1, isChord: pattern === BRACKETS };
  }
  return null;
}

function isChord(inside: string): boolean {
  const match = CHORD.exec(inside);
  const found = (match?.groups?.kind ?? '').match(ONCE) ?? [];
  return match !== null && new Set(found).size === found.length;
}

/** The shortest operation that replaces parts of a text, in whole characters. */
function replace(text: string, fixes: readonly Fix[]): Operation {
  const parts: Component[] = [];
  let at = 0;
  for (const { start, end, put } of fixes) {
    const [before, after] = [characters(text.slice(start, end)), characters(put)];
    const head = alike(before, after);
    const tail = alike(before.slice(head).reverse(), after.slice(head).reverse());
    const first = start + before.slice(0, head).join('').length;
    const gone = before.slice(head, before.length - tail).join('').length;
    parts.push(first - at, after.slice(head, after.length - tail).join(''), -gone);
    at = first + gone;
  }
  return canonical(parts);
}

function characters(text: string): string[] {
  return Array.from(whole(text));
}

/** How far two begin with the same. */
function alike(one: readonly string[], other: readonly string[]): number {
  const at = one.findIndex((part, index) => part !== other[index]);
  return at < 0 ? one.length : at;
}
