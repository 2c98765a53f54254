/** How much of an operation goes into one event. */

import { fromWire, toWire } from './ot';
import type { FlatOperation, Operation } from './types';

/** The daemon takes so many flat operations in one event. */
const MOST_PARTS = 200;
/** A flat operation in JSON, without its content. */
const PART_BYTES = 64;

/** The first part of an operation, in no more than so many bytes on the wire, and the rest. */
export function firstPiece(
  operation: Operation,
  maxBytes: number,
): [first: Operation, rest: Operation] {
  const first: FlatOperation[] = [];
  const rest = toWire(operation);
  let left = maxBytes;
  for (let part = rest.shift(); part !== undefined; part = rest.shift()) {
    left -= PART_BYTES;
    if (first.length > 0 && (left <= 0 || first.length === MOST_PARTS)) {
      return [fromWire(first), fromWire([part, ...rest])];
    }
    first.push(part);
    if (part.type !== 'insert') continue;
    const [length, bytes] = fitting(part.content, left);
    left -= bytes;
    if (length === part.content.length) continue;
    const { position, content } = part;
    first[first.length - 1] = { ...part, content: content.slice(0, length) };
    rest.unshift({ ...part, position: position + length, content: content.slice(length) });
    return [fromWire(first), fromWire(rest)];
  }
  return [operation, []];
}

/** How many units of a text, one character at least, fit into so many bytes, and theirs. */
function fitting(text: string, maxBytes: number): [length: number, bytes: number] {
  let [length, bytes] = [0, 0];
  for (const character of text) {
    const cost = bytesOf(character);
    if (length > 0 && bytes + cost > maxBytes) break;
    length += character.length;
    bytes += cost;
  }
  return [length, bytes];
}

/** What a character is in JSON and UTF-8; no less. */
function bytesOf(character: string): number {
  const code = character.codePointAt(0) ?? 0;
  if (code < 0x20) return 6; // \u0000, though \n is less
  if (code < 0x80) return character === '"' || character === '\\' ? 2 : 1;
  return code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
}
