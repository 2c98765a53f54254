/**
 * Operational transform of text: what two edits of one text are after each other.
 *
 * The same as `chordme_daemon/ot.py`, part for part; `tests/vectors/ot.json` is run by both.
 *
 * - An operation walks a text: `n` keeps, `-n` deletes, a text is inserted. What it does not reach
 *   is kept, so `[]` is the identity. Lengths and positions count UTF-16 units, as `length` does.
 * - Operations are canonical, come in so and go out so: no part is empty, no two neighbours are of
 *   one kind, an insert stands before a delete at the same gap, nothing is kept at the end.
 * - Where two insert at one gap, one of them has to go left, and both sides have to say the same:
 *   it is their authors who are compared, never the order of commits.
 * - An operation is transformed past others one by one. Their composition has forgotten where in
 *   what was deleted something was inserted.
 */

import type { Component, FlatOperation, Operation } from './types';

/** What is not an operation, or not one of this text. */
export class OperationError extends RangeError {
  override name = 'OperationError';
}

// With the flag `u` a pair is one character, and only half of one is a surrogate.
const HALF_PAIR = /[\ud800-\udfff]/u;

/** The operation that does what the parts do. */
export function canonical(parts: Iterable<Component>): Operation {
  const out: Component[] = [];
  let kept = 0; // before the change, which inserts and deletes
  let inserted = '';
  let deleted = 0;
  const putOut = (): void => {
    for (const part of [kept, inserted, deleted]) if (part) out.push(part);
  };
  for (const part of parts) {
    if (typeof part === 'string') inserted += part;
    else if (part < 0) deleted += part;
    else if (part && (inserted || deleted)) {
      putOut();
      [kept, inserted, deleted] = [part, '', 0];
    } else kept += part;
  }
  if (inserted || deleted) putOut();
  return out;
}

/** Puts a text in. */
export function insertion(position: number, content: string): Operation {
  return canonical([position, content]);
}

/** Takes a part of the text out. */
export function deletion(position: number, length: number): Operation {
  return canonical([position, -length]);
}

/** Whether two operations are the same: canonical ones that do the same always are. */
export function equal(one: Operation, other: Operation): boolean {
  return one.length === other.length && one.every((part, at) => part === other[at]);
}

// What an operation does to a text

/** How long a text has to be at least. */
export function reach(operation: Operation): number {
  return operation.reduce<number>(
    (sum, part) => (typeof part === 'string' ? sum : sum + Math.abs(part)),
    0,
  );
}

/** The text after an operation; throws an OperationError if it reaches beyond the end. */
export function apply(text: string, operation: Operation): string {
  let out = '';
  let at = 0;
  for (const part of operation) {
    if (typeof part === 'string') out += part;
    else if (part < 0) at -= part;
    else {
      out += text.slice(at, at + part);
      at += part;
    }
  }
  if (at > text.length) throw new OperationError('It reaches beyond the end of the text');
  return out + text.slice(at);
}

/** Throw an OperationError if it is none, cuts a surrogate pair or reaches beyond the end. */
export function check(text: string, operation: Operation): void {
  let at = 0;
  for (const part of operation) {
    if (typeof part === 'string') {
      whole(part);
      continue;
    }
    if (!Number.isSafeInteger(part)) throw new OperationError('Not a whole number');
    at += Math.abs(part);
    if (cutsPair(text, at)) throw new OperationError('It cuts a surrogate pair');
  }
  if (at > text.length) throw new OperationError('It reaches beyond the end of the text');
}

/** The operation that takes it back; `text` is the text before it. */
export function invert(operation: Operation, text: string): Operation {
  const out: Component[] = [];
  let at = 0;
  for (const part of operation) {
    if (typeof part === 'string') out.push(-part.length);
    else {
      out.push(part > 0 ? part : text.slice(at, at - part));
      at += Math.abs(part);
    }
  }
  return canonical(out);
}

/** The operation that makes one text another: one change, which cuts no surrogate pair. */
export function diff(before: string, after: string): Operation {
  const shorter = Math.min(before.length, after.length);
  let head = 0;
  while (head < shorter && before[head] === after[head]) head++;
  if (cutsPair(before, head) || cutsPair(after, head)) head--;
  let tail = 0;
  while (
    tail < shorter - head &&
    before[before.length - tail - 1] === after[after.length - tail - 1]
  )
    tail++;
  if (cutsPair(before, before.length - tail) || cutsPair(after, after.length - tail)) tail--;
  return canonical([head, after.slice(head, after.length - tail), head + tail - before.length]);
}

function cutsPair(text: string, at: number): boolean {
  const [before, after] = [text.charCodeAt(at - 1), text.charCodeAt(at)];
  return before >> 10 === 0x36 && after >> 10 === 0x37;
}

// Two operations

/** The parts of an operation, of which one can take a piece; what is behind its end is kept. */
class Parts {
  private next = 0;
  private rest: Component = 0;

  constructor(private readonly operation: Operation) {
    this.advance();
  }

  get current(): Component {
    return this.rest;
  }

  /** Take the part, or so many units of it. */
  take(units = Infinity): Component {
    const part = this.rest;
    if (typeof part === 'string') {
      this.rest = part.slice(units);
      if (!this.rest) this.advance();
      return part.slice(0, units);
    }
    const taken = Math.min(Math.abs(part), units);
    this.rest = Math.abs(part) - taken;
    if (part < 0) this.rest = -this.rest;
    if (!this.rest) this.advance();
    return part < 0 ? -taken : taken;
  }

  /** All that was not taken. */
  remaining(): Component[] {
    return this.rest === Infinity ? [] : [this.rest, ...this.operation.slice(this.next)];
  }

  private advance(): void {
    this.rest = this.operation[this.next++] ?? Infinity;
  }
}

/** One operation that does what two do, one after the other. */
export function compose(first: Operation, second: Operation): Operation {
  const out: Component[] = [];
  const befores = new Parts(first);
  for (const part of second) {
    if (typeof part === 'string') {
      out.push(part);
      continue;
    }
    let rest = Math.abs(part);
    while (rest) {
      const before = befores.current;
      if (typeof before === 'string') {
        const taken = befores.take(rest) as string; // it is kept, or never was
        if (part > 0) out.push(taken);
        rest -= taken.length;
      } else if (before < 0) {
        out.push(befores.take());
      } else {
        const count = befores.take(rest) as number;
        out.push(part > 0 ? count : -count);
        rest -= count;
      }
    }
  }
  return canonical([...out, ...befores.remaining()]);
}

/**
 * An operation as it is after another one of the same text.
 *
 * Where both insert at one gap, this one's text goes to the left of the other's or not. What one
 * inserts inside of what the other deletes survives.
 */
export function transform(operation: Operation, other: Operation, left: boolean): Operation {
  const out: Component[] = [];
  const others = new Parts(other);
  for (const part of operation) {
    if (typeof part === 'string') {
      // Both are canonical: if they insert at this gap, it is once, and it is the next part.
      if (!left && typeof others.current === 'string') out.push((others.take() as string).length);
      out.push(part);
      continue;
    }
    let rest = Math.abs(part);
    while (rest) {
      const theirs = others.current;
      if (typeof theirs === 'string') {
        others.take();
        out.push(theirs.length);
        continue;
      }
      const count = Math.abs(others.take(rest) as number);
      if (theirs > 0) out.push(part > 0 ? count : -count); // else it is gone
      rest -= count;
    }
  }
  return canonical(out);
}

/** Both of two concurrent operations after the other; the first goes left or not. */
export function cross(
  mine: Operation,
  theirs: Operation,
  left: boolean,
): [mine: Operation, theirs: Operation] {
  return [transform(mine, theirs, left), transform(theirs, mine, !left)];
}

/** A cursor as it is after an operation; `after` puts it behind what is inserted at it. */
export function transformIndex(index: number, operation: Operation, after = false): number {
  let at = index;
  let position = 0;
  for (const part of operation) {
    if (position > at) break;
    if (typeof part === 'string') {
      if (position < at || after) at += part.length;
      position += part.length;
    } else if (part < 0) at -= Math.min(-part, at - position);
    else position += part;
  }
  return at;
}

/** A selection as it is after an operation: it does not grow by what is inserted at its ends. */
export function transformSelection(
  start: number,
  end: number,
  operation: Operation,
): [start: number, end: number] {
  const first = transformIndex(start, operation, start < end);
  return [first, Math.max(first, transformIndex(end, operation))];
}

// The wire

/** The flat inserts and deletes that it is, each in the text made by those before. */
export function toWire(operation: Operation): FlatOperation[] {
  const flat: FlatOperation[] = [];
  let position = 0;
  for (const part of operation) {
    if (typeof part === 'string') {
      flat.push({ type: 'insert', position, content: whole(part) });
      position += part.length;
    } else if (part < 0) flat.push({ type: 'delete', position, length: -part });
    else position += part;
  }
  return flat;
}

/** The operation that flat inserts and deletes make; an OperationError for anything else. */
export function fromWire(parts: unknown): Operation {
  if (!Array.isArray(parts)) throw new OperationError('Not a list');
  return parts.map(single).reduce(compose, []);
}

function single(part: unknown): Operation {
  const { type, position, content, length } = (part ?? {}) as Record<string, unknown>;
  if (type === 'insert' && typeof content === 'string')
    return insertion(count(position), whole(content));
  if (type === 'delete') return deletion(count(position), count(length));
  throw new OperationError('Neither an insert nor a delete');
}

function count(value: unknown): number {
  if (!Number.isSafeInteger(value) || (value as number) < 0)
    throw new OperationError('Not a whole number');
  return value as number;
}

/** A text; throws an OperationError if there is half a surrogate pair in it. */
export function whole(text: string): string {
  if (HALF_PAIR.test(text)) throw new OperationError('There is half a surrogate pair in it');
  return text;
}
