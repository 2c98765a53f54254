/**
 * A document and its link: sends what is edited, and again what was lost; takes in what comes; asks
 * for the truth when what comes cannot be believed.
 *
 * A refusal that may pass is waited for. One that will not leaves the edits where they are, on the
 * screen and unsent, until something has changed: an edit, the permission, the link.
 */

import { Document, OutOfStep, type SavedDocument, type Submission } from './document';
import { diff } from './ot';
import type { Conflict } from './chordpro';
import {
  RealtimeError,
  type CollaborationUpdate,
  type DocumentState,
  type Operation,
  type RoomJoined,
  type RoomLink,
  type RoomUser,
} from './types';

/** The daemon takes events of 10,240 bytes: so much is left for an operation. */
const MOST_BYTES = 9000;
const LEAST_BYTES = 200;
const STATE_WITHIN_MS = 3000;
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 30_000;

/** Whom a conversation tells what has become of the text. */
export interface Screen {
  /** `author` is the client whose edit it is, if somebody's. */
  changed(operation: Operation, origin: 'remote' | 'reset', author: string | null): void;
  /** The daemon has gone back to an older text; `before` is what was on the screen. */
  setBack(operation: Operation, before: string): void;
  mended(conflicts: readonly Conflict[]): void;
  /** An operation goes out: if it arrives, it has to be known again, whatever happens to the page. */
  sending(): void;
  /** Something is new: what is unsent, or what is wrong. */
  touched(): void;
}

/** A request on its way, and how many whole texts had come before it. */
interface Asked {
  readonly texts: number;
}

export class Conversation {
  document: Document | null;
  /** Why edits do not go out. */
  private refusal: RealtimeError | null = null;
  /** What happened to the text, until somebody edits it. */
  private setback: RealtimeError | null = null;
  private isJoined = false;
  private asked: Asked | null = null;
  private texts = 0;
  /** Refused for good: not to be sent again as it is. */
  private isHeld = false;
  /** What comes cannot be taken in before the truth has come. */
  private isAstray = false;
  private needsText = false;
  private maxBytes = MOST_BYTES;
  /** In a row: requests that failed, texts that had to be asked for, operations called invalid. */
  private failures = 0;
  private strays = 0;
  private doubts = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly link: () => RoomLink,
    private readonly screen: Screen,
    saved: SavedDocument | null,
    /** Whose edits these are, as text; null where nobody else ever was in this tab. */
    private readonly userId: string | null = null,
  ) {
    this.document = restored(saved);
  }

  /** What the person has to know. */
  get trouble(): RealtimeError | null {
    return this.refusal ?? this.setback;
  }

  /** What comes is taken in, and what is edited goes out. */
  get isLive(): boolean {
    return this.isJoined && this.document !== null && !this.isAstray;
  }

  wish(): ReturnType<RoomUser['wish']> {
    if (this.document === null || this.needsText) return { document: true };
    return { revision: this.document.revision };
  }

  /** Somebody types; throws what the document has against it. */
  edit(operation: Operation): void {
    this.document?.edit(operation);
    this.isHeld = false;
    this.setback = null;
    this.relax();
    this.send();
  }

  /** What was refused may be granted now. */
  tryAgain(): void {
    this.isHeld = false;
    this.send();
  }

  joined(room: RoomJoined): void {
    this.pause();
    this.isJoined = true;
    this.asked = null;
    this.isHeld = this.isAstray = false;
    this.believe(() => {
      this.catchUp(room);
      this.needsText = this.isAstray;
      this.send();
    });
  }

  lost(): void {
    this.pause();
    this.isJoined = this.isAstray = false;
    this.asked = null;
  }

  heard(update: CollaborationUpdate): void {
    if (!this.isLive) return;
    this.believe(() => {
      this.hear(update);
      this.strays = 0;
    });
  }

  /** The whole text has come, asked for or not. */
  replaced({ text, revision, last_seq }: DocumentState): void {
    if (!this.isJoined) return;
    this.pause();
    this.isAstray = this.needsText = false;
    this.load(text, revision, last_seq);
    this.relax();
    this.send();
  }

  close(): void {
    this.lost();
  }

  private catchUp(room: RoomJoined): void {
    const { revision, last_seq = 0, operations = [] } = room;
    const { clientId } = this.link();
    if (room.document !== undefined) {
      // Under another name nothing of ours can be in it.
      const isOurs = this.document === null || this.document.name === clientId;
      this.load(room.document.text, revision, isOurs ? last_seq : 0);
    } else if (this.document === null) {
      throw new OutOfStep('There is no text', true);
    } else if (room.resync === true) {
      this.awaitText();
    } else {
      for (const update of operations) this.hear(update);
      const isOurs = this.document.name === clientId;
      this.document.caughtUp(revision, isOurs ? room.last_seq : undefined);
    }
    this.document?.rename(clientId, last_seq);
  }

  private load(text: string, revision: number, lastSeq: number): void {
    this.texts += 1;
    if (this.document === null) {
      this.document = new Document(this.link().clientId, text, revision, lastSeq);
      this.screen.changed(diff('', text), 'reset', null);
      return;
    }
    const [before, known] = [this.document.text, this.document.revision];
    const change = this.document.load(text, revision, lastSeq);
    if (revision >= known) {
      this.screen.changed(change, 'reset', null);
      return;
    }
    this.setback = new RealtimeError(
      'stale_revision',
      'The server has an older text. Undo brings yours back.',
    );
    this.screen.setBack(change, before);
  }

  private hear(update: CollaborationUpdate): void {
    // Of somebody else who was in this tab: under its name, but no answer to what is out.
    const isTheirs = this.userId !== null && String(update.user_id) !== this.userId;
    const heard = this.document?.hear(isTheirs ? { ...update, seq: -1 } : update);
    heard?.changes.forEach((change, index) => {
      this.screen.changed(change, 'remote', index === 0 ? (update.client_id ?? null) : null);
    });
    if (heard !== undefined && heard.conflicts.length > 0) this.screen.mended(heard.conflicts);
    this.send();
  }

  // What goes out

  private send(): void {
    const isReady = this.isLive && !this.isHeld && this.asked === null && this.timer === undefined;
    const submission = isReady ? this.document?.submission(this.maxBytes) : undefined;
    if (submission) this.ask(submission);
  }

  private ask(submission: Submission): void {
    const asked: Asked = { texts: this.texts };
    this.asked = asked;
    this.screen.sending();
    // What comes after the room was joined again is no answer to what was asked since then.
    this.link()
      .request('collaboration_operation', submission)
      .then(
        (answer) => {
          if (this.asked === asked) this.asked = null;
          this.answered(submission.seq, answer);
        },
        (error: unknown) => {
          if (this.asked !== asked) return;
          this.asked = null;
          this.refused(asRealtimeError(error), asked);
          this.relax(); // it may have come as an update before
          this.screen.touched();
        },
      );
  }

  private answered(seq: number, answer: unknown): void {
    if (!this.isLive) return; // it will be among what is told then
    const revision = (answer as { revision?: unknown } | null)?.revision;
    this.believe(() => {
      if (!Number.isSafeInteger(revision)) throw new OutOfStep('An answer without a revision');
      this.document?.confirm(seq, revision as number);
      this.failures = this.strays = this.doubts = 0;
      this.refusal = null;
      this.send();
    });
  }

  private refused(error: RealtimeError, asked: Asked): void {
    switch (error.code) {
      case 'connection_lost':
      case 'unauthenticated':
      case 'token_expired':
      case 'invalid_token':
        return; // the room is joined again, and what is on its way is sent again
      case 'not_in_room':
        this.goAstray(false);
        return;
      case 'rate_limited':
      case 'unavailable':
      case 'internal':
        this.refusal = error;
        this.later(error.details.retryAfterMs ?? pauseMs(this.failures++), () => {
          this.send();
        });
        return;
      case 'stale_revision':
        if (asked.texts === this.texts) this.awaitText();
        else this.send(); // it crossed the text that it was to be made on
        return;
      default:
        this.refusedForGood(error);
    }
  }

  /** What was sent is not in the text and will not be: it may become another operation. */
  private refusedForGood(error: RealtimeError): void {
    this.document?.thaw();
    if (error.code === 'message_too_large' && this.maxBytes > LEAST_BYTES) {
      this.maxBytes = Math.floor(this.maxBytes / 2);
      this.send();
    } else if (error.code === 'invalid_operation' && this.doubts === 0) {
      this.doubts += 1;
      this.awaitText(); // perhaps it is only the copy that is wrong
    } else {
      this.isHeld = true;
      this.refusal = error;
    }
  }

  // What cannot be believed

  private believe(take: () => void): void {
    try {
      take();
    } catch (error) {
      if (!(error instanceof OutOfStep)) throw error;
      this.goAstray(error.needsText);
    }
    this.relax();
    this.screen.touched();
  }

  /** Nothing waits: what was refused has found its way after all. */
  private relax(): void {
    if (this.document?.isInStep === true && !this.isAstray) this.refusal = null;
  }

  /** Join again: that brings what was missed, or the whole text. */
  private goAstray(needsText: boolean): void {
    this.isAstray = true;
    this.needsText ||= needsText || this.strays > 0;
    const waitMs = this.strays > 0 ? pauseMs(this.strays) : 0;
    this.strays += 1;
    if (this.strays > 2) {
      this.refusal = new RealtimeError('protocol', 'What the server sends makes no sense');
    }
    this.rejoinIn(waitMs);
  }

  /** The daemon gives the whole text unasked; ask for it if it does not. */
  private awaitText(): void {
    this.isAstray = this.needsText = true;
    this.rejoinIn(STATE_WITHIN_MS);
  }

  private rejoinIn(waitMs: number): void {
    this.later(waitMs, () => {
      this.link().rejoin();
    });
  }

  private later(waitMs: number, call: () => void): void {
    this.pause();
    this.timer = setTimeout(() => {
      this.timer = undefined;
      call();
    }, waitMs);
  }

  private pause(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
  }
}

function restored(saved: SavedDocument | null): Document | null {
  try {
    return saved === null ? null : Document.restore(saved);
  } catch {
    return null; // it does not fit together
  }
}

function pauseMs(attempt: number): number {
  return Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** attempt);
}

function asRealtimeError(error: unknown): RealtimeError {
  return error instanceof RealtimeError ? error : new RealtimeError('internal', String(error));
}
