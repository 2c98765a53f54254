/**
 * A song for those who only say `sendOperation` and listen to `onOperation`.
 *
 * They know no revisions: they edit the text that they have, and apply what they are told to it as
 * it comes. So behind them stands a song, whose text is theirs: what they send is an edit of it,
 * and what else happens to it is told as flat operations that fit it.
 */

import { deletion, insertion, toWire } from '../ot';
import {
  RealtimeError,
  type CollaborationUpdate,
  type FlatOperation,
  type Operation,
  type Song,
  type TextChange,
  type Unsubscribe,
  type UserId,
} from '../types';

/** So many may wait for the text to be there. */
const MOST_WAITING = 1000;

/** An operation as ChordMe's listeners read it. */
export interface CollaborationOperation {
  readonly id: string;
  readonly type: 'insert' | 'delete';
  readonly position: number;
  readonly content?: string;
  readonly length?: number;
  /** Null where this page has changed the text by other means. */
  readonly userId: UserId | null;
  readonly timestamp: number;
  readonly roomId: string;
  readonly revision: number;
}

/** An operation as ChordMe's callers send it. */
export interface SentOperation {
  readonly id?: string;
  readonly type: string;
  readonly position?: number;
  readonly content?: string;
  readonly length?: number;
}

export interface FlatUser {
  /** The updates that the song is being told of just now. */
  updates(): readonly CollaborationUpdate[];
  told(operation: CollaborationOperation): void;
  failed(error: RealtimeError): void;
}

export class FlatOperations {
  private waiting: FlatOperation[] | null = [];
  private isSending = false;
  private told = 0;
  /** Whose operations wait; null before it is known. */
  private userId: string | null = null;
  private readonly unsubscribe: Unsubscribe[];

  constructor(
    private readonly song: Song,
    private readonly user: FlatUser,
  ) {
    this.unsubscribe = [
      song.onChange((change) => {
        this.tell(change);
      }),
      song.subscribe(() => {
        this.begin();
      }),
    ];
    this.begin();
  }

  /** Edit the text, now or when it is there. */
  send(operation: SentOperation): void {
    const flat = flatOperation(operation);
    if (flat === null) {
      this.fail('Invalid operation data');
    } else if (this.waiting === null) {
      this.edit(flat);
    } else if (this.waiting.length < MOST_WAITING) {
      this.waiting.push(flat);
    } else {
      this.fail('Too many operations wait for the text');
    }
  }

  close(): void {
    for (const unsubscribe of this.unsubscribe) unsubscribe();
  }

  private begin(): void {
    if (this.waiting === null) return;
    const { userId, wasJoined } = this.song.getSnapshot();
    // What somebody else has asked for is not done in this user's name.
    if (this.userId !== null && userId !== this.userId) this.waiting = [];
    this.userId = userId;
    // What a tab remembers is older than what they have loaded.
    if (!wasJoined) return;
    const { waiting } = this;
    this.waiting = null;
    for (const operation of waiting) this.edit(operation);
  }

  private edit(flat: FlatOperation): void {
    const { length } = this.song.getSnapshot().text;
    const operation = clamped(flat, length);
    if (operation.length === 0) return;
    this.isSending = true;
    try {
      this.song.edit(operation);
    } catch (error) {
      this.fail(error instanceof Error ? error.message : 'Invalid operation data');
    } finally {
      this.isSending = false;
    }
  }

  private tell({ operation, origin }: TextChange): void {
    // Before the text was there they had one of their own, from elsewhere.
    if (this.isSending || this.waiting !== null) return;
    const { roomId } = this.song;
    const { revision } = this.song.getSnapshot();
    const author = origin === 'remote' ? this.author() : null;
    for (const flat of toWire(operation)) {
      if (flat.type === 'retain') continue;
      this.told += 1;
      this.user.told({
        ...flat,
        id: author?.operation_id ?? `${roomId}-${this.told}`,
        userId: author?.user_id ?? null,
        timestamp: author?.timestamp ?? Date.now(),
        roomId,
        revision: author?.revision ?? revision,
      });
    }
  }

  private author(): CollaborationUpdate | null {
    // Of what was missed, the song has just taken in one.
    const { revision } = this.song.getSnapshot();
    return this.user.updates().find((update) => update.revision === revision) ?? null;
  }

  private fail(message: string): void {
    this.user.failed(
      new RealtimeError('invalid_operation', message, {
        event: 'collaboration_operation',
        roomId: this.song.roomId,
      }),
    );
  }
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function flatOperation({ type, position, content, length }: SentOperation): FlatOperation | null {
  if (type === 'retain') return { type };
  if (!isCount(position)) return null;
  if (type === 'insert') {
    return typeof content === 'string' && content !== '' ? { type, position, content } : null;
  }
  return type === 'delete' && isCount(length) && length > 0 ? { type, position, length } : null;
}

/** As ChordMe's own editor applies what does not fit: as far as it fits. */
function clamped(flat: FlatOperation, textLength: number): Operation {
  if (flat.type === 'retain') return [];
  const position = Math.min(flat.position, textLength);
  if (flat.type === 'insert') return insertion(position, flat.content);
  const length = Math.min(flat.length, textLength - position);
  return length > 0 ? deletion(position, length) : [];
}
