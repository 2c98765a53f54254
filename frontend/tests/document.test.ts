import { describe, expect, test } from 'vitest';

import { Document, OutOfStep, type SavedDocument } from '../src/document';
import { fromWire, toWire } from '../src/ot';
import type { CollaborationUpdate, Operation } from '../src/types';

const ALL = 10_000;

function update(
  revision: number,
  operation: Operation,
  clientId = 'other',
  seq = revision,
): CollaborationUpdate {
  return {
    ...{ room_id: 'song', user_id: 1, timestamp: 1, operation_id: `${clientId}-${seq}` },
    ...{ revision, client_id: clientId, seq },
    operations: toWire(operation),
  };
}

function sent(document: Document): [seq: number, revision: number, operation: Operation] | null {
  const submission = document.submission(ALL);
  return (
    submission && [submission.seq, submission.revision, fromWire(wireOf(submission.operation))]
  );
}

function wireOf(flat: readonly { type: string }[]): unknown {
  return flat.filter(({ type }) => type !== 'retain');
}

describe('what is edited', () => {
  test('goes out as one operation, and what follows waits as one', () => {
    const document = new Document('me', 'la', 7, 3);
    expect(sent(document)).toBeNull();
    document.edit([2, ' la']);
    expect(sent(document)).toEqual([4, 7, [2, ' la']]);
    document.edit([5, '!']);
    document.edit([6, '!']);
    expect(sent(document)).toEqual([4, 7, [2, ' la']]);
    expect(document.unsent).toBe(3);
    document.confirm(4, 8);
    expect(sent(document)).toEqual([5, 8, [5, '!!']]);
    expect(document.unsent).toBe(2);
    document.confirm(5, 9);
    expect([document.isInStep, document.unsent, document.revision]).toEqual([true, 0, 9]);
    expect(document.text).toBe('la la!!');
  });

  test('and taken back before it went out never goes', () => {
    const document = new Document('me', 'la', 0, 0);
    document.edit(['x']);
    document.edit([-1]);
    expect(sent(document)).toBeNull();
    expect(document.unsent).toBe(0);
  });

  test.each<[Operation]>([[[4, 'x']], [[1, -1]], [['\ud83c']], [[Number.NaN, 'x']]])(
    'is refused and changes nothing where it does not fit: %j',
    (operation) => {
      const document = new Document('me', '🎸', 0, 0);
      expect(() => {
        document.edit(operation);
      }).toThrow(RangeError);
      expect([document.text, document.isInStep]).toEqual(['🎸', true]);
    },
  );

  test('is sent again as it was, carried past what others did', () => {
    const document = new Document('me', 'abc', 0, 0);
    document.edit([3, 'd']);
    sent(document);
    document.edit([4, 'e']);
    document.hear(update(1, ['x']));
    expect(sent(document)).toEqual([1, 1, [4, 'd']]);
    expect(document.text).toBe('xabcde');
  });

  test('is still asked for when others have deleted all of it', () => {
    const document = new Document('me', 'abc', 0, 0);
    document.edit([1, -1]);
    sent(document);
    document.hear(update(1, [1, -1]));
    expect(document.submission(ALL)?.operation).toEqual([{ type: 'retain' }]);
  });

  test('goes out in pieces where it is long, which come to the same', () => {
    const document = new Document('me', '', 0, 0);
    const text = '🎸♭"x\n'.repeat(200);
    document.edit([text]);
    const theirs = new Document('you', '', 0, 0);
    let seq = 0;
    for (let next = document.submission(500); next !== null; next = document.submission(500)) {
      expect(JSON.stringify(next.operation).length).toBeLessThan(600);
      seq += 1;
      theirs.hear(update(seq, fromWire(next.operation), 'me', seq));
      expect(document.unsent).toBeGreaterThan(0);
      document.confirm(seq, seq);
    }
    expect(seq).toBeGreaterThan(3);
    expect(theirs.text).toBe(text);
    expect(document.unsent).toBe(0);
  });
});

describe('what others do', () => {
  test('goes to the right of the smaller name at one place, on either side', () => {
    for (const [me, other, text] of [
      ['a', 'b', 'mt'],
      ['c', 'b', 'tm'],
    ] as const) {
      const document = new Document(me, '', 0, 0);
      document.edit(['m']);
      document.hear(update(1, ['t'], other));
      expect(document.text).toBe(text);
    }
  });

  test('is told as it changes the text on the screen', () => {
    const document = new Document('me', 'abc', 0, 0);
    document.edit(['xy']);
    expect(document.hear(update(1, [1, -1])).changes).toEqual([[3, -1]]);
    expect(document.text).toBe('xyac');
  });

  test('is heard once', () => {
    const document = new Document('me', '', 0, 0);
    document.hear(update(1, ['x']));
    expect(document.hear(update(1, ['x'])).changes).toEqual([]);
    expect([document.text, document.revision]).toEqual(['x', 1]);
  });

  test('has no holes', () => {
    const document = new Document('me', '', 0, 0);
    expect(() => document.hear(update(2, ['x']))).toThrow(OutOfStep);
    document.edit(['y']);
    sent(document);
    expect(() => {
      document.confirm(1, 2);
    }).toThrow(OutOfStep);
    expect([document.text, document.revision]).toEqual(['y', 0]);
  });

  test.each([
    [[{ type: 'insert', position: 5, content: 'x' }]],
    [[{ type: 'delete', position: 0, length: 9 }]],
    [[{ type: 'insert', position: 1, content: 'x' }]],
    [[{ type: 'format', position: 0, length: 1 }]],
    [null],
  ])('is not taken in where it makes no sense: %j', (operations) => {
    const document = new Document('me', '🎸', 0, 0);
    const nonsense = { ...update(1, []), operations } as unknown as CollaborationUpdate;
    expect(() => document.hear(nonsense)).toThrow(OutOfStep);
    expect([document.text, document.revision]).toEqual(['🎸', 0]);
  });

  test('at a chord that is being changed here is mended, once, and not a mend', () => {
    const document = new Document('me', 'la [Am] la', 0, 0);
    document.edit([4, 'G7', -2]);
    sent(document);
    const { changes, conflicts } = document.hear(update(1, [4, 'Dm', -2]));
    expect(changes.length).toBe(2);
    expect(conflicts).toEqual([{ kept: 'G7', dropped: 'Dm' }]);
    expect(document.text).toBe('la [G7] la');
    document.confirm(1, 2);
    // What is left to be sent is the correction.
    expect(document.unsent).toBe(1);
    expect(document.hear(update(3, [6, 'x'])).conflicts).toEqual([]);
    expect(document.text).toBe('la [G7x] la');
  });
});

describe('after a loss', () => {
  test('one that had arrived is known in what was missed', () => {
    const document = new Document('me', '', 0, 0);
    document.edit(['mine']);
    sent(document);
    document.edit([4, '!']);
    document.hear(update(1, ['theirs '], 'a'));
    document.hear(update(2, [7, 'mine'], 'me', 1));
    document.caughtUp(2, 1);
    expect(document.text).toBe('theirs mine!');
    expect(sent(document)).toEqual([2, 2, [11, '!']]);
  });

  test('one that had not arrived is sent under the same seq', () => {
    const document = new Document('me', '', 0, 0);
    document.edit(['mine']);
    sent(document);
    document.edit([4, '!']);
    document.hear(update(1, ['theirs '], 'a'));
    document.caughtUp(1, 0);
    expect(sent(document)).toEqual([1, 1, [7, 'mine']]);
  });

  test('an answer and an update of one operation count once', () => {
    const document = new Document('me', '', 0, 0);
    document.edit(['x']);
    sent(document);
    document.hear(update(1, ['x'], 'me', 1));
    document.confirm(1, 1);
    expect([document.text, document.revision, document.isInStep]).toEqual(['x', 1, true]);
  });

  test('the whole text is an edit of what was known', () => {
    const document = new Document('me', 'one two', 3, 0);
    document.edit([7, ' three']);
    sent(document);
    document.edit(['zero ']);
    expect(document.load('one 2 two', 9, 0)).toEqual([9, '2 ']);
    expect(document.text).toBe('zero one 2 two three');
    expect(sent(document)).toEqual([1, 9, [9, ' three']]);
  });

  test('the whole text may have what was on its way', () => {
    const document = new Document('me', '', 0, 0);
    document.edit(['mine']);
    sent(document);
    document.edit([4, '!']);
    document.load('mine, and theirs', 9, 1);
    expect(document.text).toBe('mine!, and theirs');
    expect(sent(document)).toEqual([2, 9, [4, '!']]);
  });

  test('the difference to the whole text cuts no character', () => {
    const document = new Document('me', 'a😀b', 0, 0);
    expect(document.load('a😁b', 1, 0)).toEqual([1, '😁', -2]);
  });

  test('an answer to what was carried past a difference does not say what is in the log', () => {
    const document = new Document('me', 'ab', 0, 0);
    document.edit([1, 'x']);
    sent(document);
    document.load('cd', 2, 0);
    sent(document);
    expect(() => {
      document.confirm(1, 3);
    }).toThrow(OutOfStep);
    // It was made on the text before, and had arrived.
    document.edit([3, '!']);
    expect(document.hear(update(3, [1, 'x'], 'me', 1)).changes).toEqual([[1, 'x', 1, -1]]);
    expect([document.text, document.unsent]).toEqual(['cxd!', 1]);
  });

  test('a daemon that has forgotten some of what it knew is followed', () => {
    const document = new Document('me', 'a', 9, 7);
    document.edit(['x']);
    sent(document);
    document.load('a', 2, 3);
    expect(sent(document)?.[0]).toBe(4);
  });

  test('what the daemon says it knows and does not tell has to be asked for', () => {
    const document = new Document('me', '', 0, 0);
    document.edit(['x']);
    sent(document);
    expect(() => {
      document.caughtUp(0, 1);
    }).toThrow(OutOfStep);
    expect(() => {
      document.caughtUp(1, 0);
    }).toThrow(OutOfStep);
  });
});

test('what was refused waits with the rest, and may become another operation', () => {
  const document = new Document('me', 'abc', 0, 0);
  document.edit([3, 'd']);
  sent(document);
  document.edit([4, 'e']);
  document.thaw();
  expect(document.unsent).toBe(2);
  document.edit([3, -2]);
  expect([sent(document), document.unsent, document.text]).toEqual([null, 0, 'abc']);
  document.edit(['x']);
  expect(sent(document)).toEqual([1, 0, ['x']]);
});

test('a page that is loaded again goes on where it was', () => {
  const document = new Document('me', '🎸', 3, 1);
  document.edit([2, 'a']);
  sent(document);
  document.edit([3, 'b']);
  const saved = JSON.parse(JSON.stringify(document.save())) as SavedDocument;
  const restored = Document.restore(saved);
  expect([restored.text, restored.unsent]).toEqual(['🎸ab', 2]);
  expect(restored.save()).toEqual(document.save());
  expect(sent(restored)).toEqual([2, 3, [2, 'a']]);
  const inStep = Document.restore(new Document('me', 'x', 1, 1).save());
  expect([inStep.text, inStep.revision, inStep.isInStep, sent(inStep)]).toEqual([
    'x',
    1,
    true,
    null,
  ]);
  expect(() => Document.restore({ ...saved, synced: '' })).toThrow(RangeError);
});

test('a page that is loaded again under another name sends what it had as its own', () => {
  const document = new Document('me', '', 3, 1);
  document.edit(['a']);
  sent(document);
  document.edit([1, 'b']);
  document.rename('me-too', 0);
  expect(sent(document)).toEqual([1, 3, ['ab']]);
});

test('a place that was told on an older revision is where it has moved to', () => {
  const document = new Document('me', 'abc', 0, 0);
  document.hear(update(1, ['x']));
  document.edit(['yy']);
  expect(document.place(3, 0)).toBe(6);
  expect(document.place(3, 1)).toBe(5);
  expect(document.place(99, 7)).toBe(6);
});
