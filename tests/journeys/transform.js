// Operational transform, written a second time, so that it checks the daemon's.
'use strict';

// An operation is a list: n > 0 keeps, n < 0 deletes, text inserts; trailing keeps are left out,
// and at one place the insert comes first.
function canonical(parts) {
  const out = [];
  let inserted = '', deleted = 0;
  const flush = () => {
    if (inserted) out.push(inserted);
    if (deleted) out.push(-deleted);
    inserted = ''; deleted = 0;
  };
  for (const part of parts) {
    if (typeof part === 'string') inserted += part;
    else if (part < 0) deleted -= part;
    else if (part > 0) {
      flush();
      if (typeof out.at(-1) === 'number' && out.at(-1) > 0) out[out.length - 1] += part;
      else out.push(part);
    }
  }
  flush();
  if (typeof out.at(-1) === 'number' && out.at(-1) > 0) out.pop();
  return out;
}

function apply(text, operation) {
  let out = '', at = 0;
  for (const part of operation) {
    if (typeof part === 'string') out += part;
    else if (part < 0) at -= part;
    else { out += text.slice(at, at + part); at += part; }
  }
  if (at > text.length) throw new Error('an operation reaches beyond the end');
  return out + text.slice(at);
}

// Takes an operation piece by piece; behind its end everything is kept.
function reader(operation) {
  let index = 0, offset = 0;
  return {
    get done() { return index >= operation.length; },
    peek() {
      if (index >= operation.length) return Infinity;
      const part = operation[index];
      if (typeof part === 'string') return part.slice(offset);
      return part > 0 ? part - offset : part + offset;
    },
    take(count) {
      if (index >= operation.length) return;
      const part = operation[index];
      offset += count;
      if (offset >= (typeof part === 'string' ? part.length : Math.abs(part))) { index += 1; offset = 0; }
    },
  };
}

function compose(first, second) {
  const out = [], a = reader(first), b = reader(second);
  while (!a.done || !b.done) {
    const p = a.peek(), q = b.peek();
    if (typeof q === 'string') { out.push(q); b.take(q.length); continue; }
    if (typeof p === 'number' && p < 0) { out.push(p); a.take(-p); continue; }
    const count = Math.min(typeof p === 'string' ? p.length : p, Math.abs(q));
    if (q < 0) { if (typeof p !== 'string') out.push(-count); }
    else out.push(typeof p === 'string' ? p.slice(0, count) : count);
    a.take(count); b.take(count);
  }
  return canonical(out);
}

function transform(operation, other, left) {
  const out = [], a = reader(operation), b = reader(other);
  while (!a.done) {
    const p = a.peek(), q = b.peek();
    if (typeof p === 'string' && (left || typeof q !== 'string')) { out.push(p); a.take(p.length); continue; }
    if (typeof q === 'string') { out.push(q.length); b.take(q.length); continue; }
    const count = Math.min(Math.abs(p), Math.abs(q));
    if (q > 0) out.push(p > 0 ? count : -count);
    a.take(count); b.take(count);
  }
  return canonical(out);
}

function toWire(operation) {
  const parts = [];
  let position = 0;
  for (const part of operation) {
    if (typeof part === 'string') {
      parts.push({ type: 'insert', position, content: part });
      position += part.length;
    } else if (part < 0) parts.push({ type: 'delete', position, length: -part });
    else position += part;
  }
  return parts.length ? parts : [{ type: 'retain' }];
}

function fromWire(parts) {
  return parts.reduce((whole, { type, position, content, length }) => compose(whole,
    canonical(type === 'insert' ? [position, content] : [position, -length])), []);
}

// What makes one text of another, in whole characters.
function difference(from, to) {
  const a = Array.from(from), b = Array.from(to);
  let start = 0, end = 0;
  while (start < Math.min(a.length, b.length) && a[start] === b[start]) start += 1;
  while (end < Math.min(a.length, b.length) - start && a.at(-1 - end) === b.at(-1 - end)) end += 1;
  return canonical([
    a.slice(0, start).join('').length,
    b.slice(start, b.length - end).join(''),
    -a.slice(start, a.length - end).join('').length,
  ]);
}

module.exports = { apply, canonical, compose, difference, fromWire, toWire, transform };
