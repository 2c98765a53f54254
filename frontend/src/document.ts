/**
 * The client's half of the conversation about one text. No link, no clock: a song tells it what
 * people do and what the daemon says, and sends what it gives.
 *
 *     synced --out--> --waiting--> text
 *
 * - `synced` is the text of the revision. One operation is on its way, `out`; what is edited
 *   meanwhile waits as one operation. Both are carried past everything that others do.
 * - What has been sent once stays that operation, under that seq, until the daemon has answered:
 *   sent again it must not become another one, for the first may have arrived.
 * - One's own operation comes back in its place among the revisions, as an answer or as an update,
 *   and is known by (client_id, seq). Revisions have no holes: what follows one is `OutOfStep`.
 * - Where the whole text comes in place of what was missed, the difference is taken for an edit.
 */

import { resolve, type Conflict } from './chordpro';
import {
  OperationError,
  apply,
  canonical,
  check,
  compose,
  cross,
  diff,
  equal,
  fromWire,
  invert,
  toWire,
  transformIndex,
} from './ot';
import { firstPiece } from './pieces';
import type { CollaborationUpdate, FlatOperation, Operation } from './types';

/** For cursors that were told on an older revision. */
const REMEMBERED = 100;

/** What the daemon said does not follow what it has said before. */
export class OutOfStep extends Error {
  override name = 'OutOfStep';

  constructor(
    message: string,
    /** Nothing but the whole text can be believed. */
    readonly needsText = false,
  ) {
    super(message);
  }
}

/** What is to be sent, now or again. */
export interface Submission {
  readonly seq: number;
  readonly revision: number;
  readonly operation: readonly FlatOperation[];
}

/** What has become of the text on the screen: first by others, then by a correction. */
export interface Heard {
  readonly changes: readonly Operation[];
  readonly conflicts: readonly Conflict[];
}

interface Out {
  readonly seq: number;
  readonly operation: Operation;
  readonly edits: number;
  /** People did it; a correction is not corrected. */
  readonly isTyped: boolean;
  /** It was carried past a difference: in the log there may be another form of it. */
  readonly isReshaped: boolean;
}

/** All that is needed to go on after the page was loaded again. */
export interface SavedDocument {
  readonly clientId: string;
  readonly revision: number;
  readonly seq: number;
  readonly synced: string;
  readonly out: Operation | null;
  readonly waiting: Operation;
}

const NOTHING: Heard = { changes: [], conflicts: [] };

export class Document {
  private synced: string;
  private current: string;
  private out: Out | null = null;
  private waiting: Operation = [];
  private waitingEdits = 0;
  private isTyped = false;
  /** The last revisions, the newest at the end. */
  private recent: Operation[] = [];

  constructor(
    private clientId: string,
    text: string,
    private at: number,
    /** The last that was used. */
    private seq: number,
  ) {
    this.synced = this.current = text;
  }

  /** Go on where another page was left; throws for what was never saved. */
  static restore(saved: SavedDocument): Document {
    const { clientId, synced, revision, seq, out } = saved;
    const document = new Document(clientId, synced, revision, seq);
    const waiting = canonical(saved.waiting);
    let text = synced;
    for (const operation of out === null ? [waiting] : [canonical(out), waiting]) {
      check(text, operation);
      text = apply(text, operation);
    }
    if (out !== null) {
      const operation = canonical(out);
      document.out = { seq, operation, edits: 1, isTyped: true, isReshaped: false };
    }
    document.waiting = waiting;
    document.waitingEdits = waiting.length > 0 ? 1 : 0;
    document.isTyped = waiting.length > 0;
    document.current = text;
    return document;
  }

  /** What has to be saved, also while the daemon has everything. */
  save(): SavedDocument {
    const { clientId, at: revision, seq, synced, waiting } = this;
    return { clientId, revision, seq, synced, out: this.out?.operation ?? null, waiting };
  }

  /** The text with all edits. */
  get text(): string {
    return this.current;
  }

  get revision(): number {
    return this.at;
  }

  /** How many edits the daemon has not acknowledged. */
  get unsent(): number {
    return (this.out?.edits ?? 0) + this.waitingEdits;
  }

  get isInStep(): boolean {
    return this.out === null && this.waiting.length === 0;
  }

  /** Somebody types; throws an `OperationError` for what does not fit the text. */
  edit(operation: Operation): void {
    check(this.current, operation);
    this.push(operation);
    this.isTyped = this.waiting.length > 0;
  }

  /** What is to be sent now, in no more than so many bytes; null if nothing. */
  submission(maxBytes: number): Submission | null {
    if (this.out === null) {
      if (this.waiting.length === 0) return null;
      const [operation, rest] = firstPiece(this.waiting, maxBytes);
      const isAll = rest.length === 0;
      const { isTyped, waitingEdits } = this;
      const edits = isAll ? waitingEdits : 0;
      this.seq += 1;
      this.out = { seq: this.seq, operation, edits, isTyped, isReshaped: false };
      this.waiting = rest;
      this.waitingEdits -= edits;
      this.isTyped = isTyped && !isAll;
    }
    const { seq, operation } = this.out;
    const flat = toWire(operation);
    // Others may have deleted all that it did; it is still to be answered.
    return { seq, revision: this.at, operation: flat.length > 0 ? flat : [{ type: 'retain' }] };
  }

  /** The daemon has refused what was sent: it waits again, and may become another operation. */
  thaw(): void {
    if (this.out === null) return;
    const { seq, operation, edits, isTyped } = this.out;
    this.out = null;
    this.seq = seq - 1;
    this.waiting = compose(operation, this.waiting);
    this.waitingEdits = this.waiting.length > 0 ? this.waitingEdits + edits : 0;
    this.isTyped ||= isTyped;
  }

  /** The daemon has answered what was sent. */
  confirm(seq: number, revision: number): void {
    if (this.out?.seq !== seq) return; // it has come as an update already
    if (revision !== this.at + 1) throw new OutOfStep('A hole before an answer');
    // Only an update tells what it has become.
    if (this.out.isReshaped) throw new OutOfStep('An answer to another form of an operation');
    this.acknowledge(this.out.operation);
  }

  /** The next revision; one that is known is nothing new. */
  hear(update: CollaborationUpdate): Heard {
    if (update.revision <= this.at) return NOTHING;
    if (update.revision > this.at + 1) throw new OutOfStep('A hole before an update');
    const operation = this.read(update.operations);
    const author = update.client_id ?? '~';
    if (this.out !== null && author === this.clientId && update.seq === this.out.seq) {
      return this.hearOwn(this.out.operation, operation);
    }
    return this.hearOther(operation, this.clientId < author);
  }

  /**
   * The whole text in place of what was missed; `lastSeq` is the last of ours that is in it.
   * Returns the change of the text on the screen.
   */
  load(text: string, revision: number, lastSeq: number): Operation {
    if (this.out !== null && lastSeq >= this.out.seq) this.acknowledge(this.out.operation);
    const difference = diff(this.synced, text);
    const change = this.carry(difference, true);
    if (this.out !== null && difference.length > 0) this.out = { ...this.out, isReshaped: true };
    this.synced = text;
    this.at = revision;
    this.recent = [];
    this.settleSeq(lastSeq);
    return change;
  }

  /** All that was missed has been heard; throws if the daemon says that there was more. */
  caughtUp(revision: number, lastSeq: number | undefined): void {
    if (revision !== this.at) throw new OutOfStep('A hole in what was missed', true);
    if (lastSeq === undefined) return;
    if (this.out !== null && lastSeq >= this.out.seq) {
      throw new OutOfStep('An operation that is known and was not told', true);
    }
    this.settleSeq(lastSeq);
  }

  get name(): string {
    return this.clientId;
  }

  /** Be known by another name from now on: this tab was duplicated, or refreshed too quickly. */
  rename(clientId: string, lastSeq: number): void {
    if (clientId === this.clientId) return;
    this.thaw();
    this.clientId = clientId;
    this.seq = lastSeq;
  }

  /** A place that was told on a revision, in the text as it is now; `after` what is put in there. */
  place(index: number, revision: number, after = false): number {
    const since = Math.min(Math.max(this.at - revision, 0), this.recent.length);
    const passed = [...this.recent.slice(this.recent.length - since), ...this.pending];
    const place = passed.reduce((now, one) => transformIndex(now, one, after), index);
    return Math.min(place, this.current.length);
  }

  /** Where a place is in lines and columns. */
  lineOf(index: number): { line: number; column: number } {
    const before = this.current.slice(0, index).split('\n');
    return { line: before.length - 1, column: (before[before.length - 1] ?? '').length };
  }

  private get pending(): [out: Operation, waiting: Operation] {
    return [this.out?.operation ?? [], this.waiting];
  }

  private push(operation: Operation): void {
    this.waiting = compose(this.waiting, operation);
    this.current = apply(this.current, operation);
    this.waitingEdits = this.waiting.length > 0 ? this.waitingEdits + 1 : 0;
  }

  private read(flat: readonly FlatOperation[]): Operation {
    try {
      const operation = fromWire(flat);
      check(this.synced, operation);
      return operation;
    } catch (error) {
      if (error instanceof OperationError) throw new OutOfStep(error.message, true);
      throw error;
    }
  }

  private hearOther(operation: Operation, left: boolean): Heard {
    const { synced, pending, isTyped, out } = this;
    const change = this.carry(operation, left);
    this.advance(operation);
    const mine = compose(...pending);
    const resolution =
      isTyped || out?.isTyped === true
        ? resolve(synced, mine, operation, compose(...this.pending))
        : null;
    if (resolution === null) return { changes: [change], conflicts: [] };
    this.push(resolution.operation);
    return { changes: [change, resolution.operation], conflicts: resolution.conflicts };
  }

  private hearOwn(sent: Operation, told: Operation): Heard {
    const correction = equal(sent, told) ? [] : compose(invert(sent, this.synced), told);
    this.acknowledge(sent);
    if (correction.length === 0) return NOTHING;
    // It was sent in another form before: the one in the log counts.
    this.synced = apply(this.synced, correction);
    this.recent[this.recent.length - 1] = told;
    return { changes: [this.carry(correction, false)], conflicts: [] };
  }

  /** Carry all that is pending past an edit of the revision's text; what that does to the text. */
  private carry(operation: Operation, left: boolean): Operation {
    let theirs = operation;
    if (this.out !== null) {
      let mine: Operation;
      [mine, theirs] = cross(this.out.operation, theirs, left);
      this.out = { ...this.out, operation: mine };
    }
    [this.waiting, theirs] = cross(this.waiting, theirs, left);
    if (this.waiting.length === 0) [this.waitingEdits, this.isTyped] = [0, false];
    this.current = apply(this.current, theirs);
    return theirs;
  }

  private acknowledge(operation: Operation): void {
    this.out = null;
    this.advance(operation);
  }

  private advance(operation: Operation): void {
    this.synced = apply(this.synced, operation);
    this.at += 1;
    this.recent = [...this.recent.slice(1 - REMEMBERED), operation];
  }

  /** Go on behind the last seq that the daemon knows, which may have forgotten all of them. */
  private settleSeq(lastSeq: number): void {
    if (this.out === null) this.seq = lastSeq;
    else if (lastSeq > 0) {
      this.seq = lastSeq + 1;
      this.out = { ...this.out, seq: this.seq };
    }
  }
}
