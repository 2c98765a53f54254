import fc from 'fast-check';
import { expect, test } from 'vitest';

import { apply, canonical, cross, invert } from '../src/ot';
import type { Operation } from '../src/types';
import { UndoHistory } from '../src/undo';
import { Dice, randomEdit } from './simulation';

class Editor {
  readonly history = new UndoHistory();

  constructor(public text: string) {}

  type(operation: Operation, atMs: number): void {
    this.history.edited(invert(operation, this.text), atMs);
    this.text = apply(this.text, operation);
  }

  hear(operation: Operation): void {
    this.history.passed(operation);
    this.text = apply(this.text, operation);
  }

  step(direction: 'undo' | 'redo'): string {
    const operation = this.history[direction](this.text);
    if (operation !== null) this.text = apply(this.text, operation);
    return this.text;
  }
}

test('what is typed without a pause is undone at once', () => {
  const editor = new Editor('');
  for (const [at, letter] of Array.from('ladida').entries()) {
    editor.type(at > 0 ? [at, letter] : [letter], at < 3 ? at * 300 : 5000 + at * 300);
  }
  expect(editor.step('undo')).toBe('lad');
  expect(editor.step('undo')).toBe('');
  expect(editor.history.canUndo).toBe(false);
  expect(editor.step('undo')).toBe('');
  expect(editor.step('redo')).toBe('lad');
  expect(editor.step('redo')).toBe('ladida');
  expect(editor.history.canRedo).toBe(false);
});

test('so is what is deleted with either key', () => {
  const editor = new Editor('abcdef');
  editor.type([3, -1], 0);
  editor.type([2, -1], 100);
  editor.type([2, -1], 200);
  expect(editor.text).toBe('abf');
  expect(editor.step('undo')).toBe('abcdef');
});

test('what is done elsewhere, or of another kind, is a step of its own', () => {
  const editor = new Editor('abc');
  editor.type([1, 'x'], 0);
  editor.type([4, 'y'], 100);
  editor.type([4, -1], 200);
  expect(editor.step('undo')).toBe('axbcy');
  expect(editor.step('undo')).toBe('axbc');
  expect(editor.step('undo')).toBe('abc');
});

test('what others have typed stays', () => {
  const editor = new Editor('');
  editor.type(['mine'], 0);
  editor.hear([2, 'theirs']);
  editor.hear(['first ']);
  expect(editor.text).toBe('first mitheirsne');
  expect(editor.step('undo')).toBe('first theirs');
  expect(editor.step('redo')).toBe('first mitheirsne');
});

test('what others have deleted is no step any more', () => {
  const editor = new Editor('');
  editor.type(['mine'], 0);
  editor.hear([-4]);
  expect(editor.history.canUndo).toBe(false);
});

test('a new edit ends what could be redone', () => {
  const editor = new Editor('');
  editor.type(['a'], 0);
  editor.step('undo');
  editor.type(['b'], 5000);
  expect(editor.history.canRedo).toBe(false);
});

test('whatever others do in between, who takes back all they have typed leaves what others did', () => {
  fc.assert(
    fc.property(fc.integer(), (seed) => {
      const dice = new Dice(seed);
      const editor = new Editor('la [Am] la 🎸');
      let theirs = editor.text;
      let mine: Operation[] = [];
      for (let step = 0; step < 12; step++) {
        if (dice.roll(2) > 0) {
          const operation = canonical([
            dice.roll(2) > 0 ? editor.text.length : 0,
            dice.choose(['mine', '😀']),
          ]);
          editor.type(operation, step * dice.choose([500, 5000]));
          mine.push(operation);
          continue;
        }
        // They have never seen what is mine.
        let operation = randomEdit(dice, theirs);
        theirs = apply(theirs, operation);
        mine = mine.map((one) => {
          let after: Operation;
          [after, operation] = cross(one, operation, true);
          return after;
        });
        editor.hear(operation);
      }
      const before = editor.text;
      while (editor.history.canUndo) editor.step('undo');
      expect(editor.text).toBe(theirs);
      while (editor.history.canRedo) editor.step('redo');
      expect(editor.text).toBe(before);
    }),
    { numRuns: 500 },
  );
});
