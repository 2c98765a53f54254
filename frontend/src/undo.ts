/**
 * What one has done oneself, to be undone and redone; what others do stays.
 *
 * Each entry is the operation that takes a step back, on the text that those above it leave. All are
 * carried past what others do.
 */

import { compose, cross, invert } from './ot';
import type { Operation } from './types';

/** What is typed without such a pause is one step. */
const STEP_MS = 1000;
const MOST_STEPS = 500;

export class UndoHistory {
  private undoable: readonly Operation[] = [];
  private redoable: readonly Operation[] = [];
  private editedAtMs = -Infinity;

  get canUndo(): boolean {
    return this.undoable.length > 0;
  }

  get canRedo(): boolean {
    return this.redoable.length > 0;
  }

  /** An edit was made, which this operation takes back. */
  edited(inverse: Operation, nowMs: number): void {
    const isSoon = nowMs - this.editedAtMs < STEP_MS;
    this.editedAtMs = nowMs;
    this.redoable = [];
    const last = this.undoable[this.undoable.length - 1];
    if (isSoon && last !== undefined && isNextTo(inverse, last)) {
      this.undoable = [...this.undoable.slice(0, -1), compose(inverse, last)];
    } else {
      this.undoable = [...this.undoable.slice(1 - MOST_STEPS), inverse];
    }
  }

  /** Others have changed the text. */
  passed(operation: Operation): void {
    this.undoable = carried(this.undoable, operation);
    this.redoable = carried(this.redoable, operation);
  }

  /** The edit that takes back the last one of this text; null if there is none. */
  undo(text: string): Operation | null {
    const operation = this.undoable[this.undoable.length - 1];
    if (operation === undefined) return null;
    this.undoable = this.undoable.slice(0, -1);
    this.redoable = [...this.redoable, invert(operation, text)];
    this.editedAtMs = -Infinity;
    return operation;
  }

  /** The edit that brings back what was undone last. */
  redo(text: string): Operation | null {
    const operation = this.redoable[this.redoable.length - 1];
    if (operation === undefined) return null;
    this.redoable = this.redoable.slice(0, -1);
    this.undoable = [...this.undoable, invert(operation, text)];
    this.editedAtMs = -Infinity;
    return operation;
  }
}

function carried(steps: readonly Operation[], operation: Operation): Operation[] {
  const out: Operation[] = [];
  let theirs = operation;
  for (const step of [...steps].reverse()) {
    let mine: Operation;
    [mine, theirs] = cross(step, theirs, true);
    if (mine.length > 0) out.push(mine);
  }
  return out.reverse();
}

interface Splice {
  readonly start: number;
  readonly length: number;
  readonly isInsert: boolean;
}

/** Whether what one takes back was typed, or deleted, right beside what the other takes back. */
function isNextTo(inverse: Operation, before: Operation): boolean {
  const [one, other] = [spliceOf(inverse), spliceOf(before)];
  if (one?.isInsert !== other?.isInsert || one === null || other === null) return false;
  if (!one.isInsert) return one.start === other.start + other.length;
  // With backspace it was before, with the delete key it was behind.
  return one.start + one.length === other.start || one.start === other.start;
}

/** The single insert or delete that an operation is; null if it is more. */
function spliceOf(operation: Operation): Splice | null {
  const [start, part] = operation.length > 1 ? operation : [0, operation[0]];
  if (operation.length > 2 || typeof start !== 'number' || part === undefined) return null;
  const isInsert = typeof part === 'string';
  return { start, length: isInsert ? part.length : -part, isInsert };
}
