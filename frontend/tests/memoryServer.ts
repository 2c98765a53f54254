/**
 * A server of one song in memory that speaks as the README says, and links to it that a test moves
 * along message by message, and cuts.
 */

import { apply, check, fromWire, toWire, transform } from '../src/ot';
import {
  RealtimeError,
  type CollaborationUpdate,
  type ErrorCode,
  type FlatOperation,
  type Operation,
  type RoomEventName,
  type RoomJoined,
  type RoomLink,
  type Rooms,
  type RoomUser,
} from '../src/types';

const ROOM = 'song';

interface Sent {
  readonly operation: readonly FlatOperation[];
  readonly revision: number;
  readonly seq: number;
}

interface Entry {
  readonly operation: Operation;
  readonly clientId: string;
  readonly seq: number;
}

export class MemoryServer {
  text = '';
  revision = 0;
  /** Why the next operation is refused, if it is. */
  refusal: ErrorCode | null = null;
  readonly links = new Set<MemoryLink>();
  private log: Entry[] = [];
  private readonly answered = new Map<string, { seq: number; revision: number }>();

  /** Forget all but the last entries of the log. */
  compact(kept: number): void {
    this.log = kept > 0 ? this.log.slice(-kept) : [];
  }

  lastSeq(clientId: string): number {
    return this.answered.get(clientId)?.seq ?? 0;
  }

  since(revision: number): CollaborationUpdate[] | null {
    const missed = this.revision - revision;
    if (missed < 0 || missed > this.log.length) return null;
    return this.log
      .slice(this.log.length - missed)
      .map((entry, index) => updateOf(entry, revision + index + 1));
  }

  /** The revision of an operation, which may have come before; throws what is against it. */
  commit(clientId: string, sent: Sent, author: MemoryLink | null): number {
    const known = this.answered.get(clientId);
    if (known?.seq === sent.seq) return known.revision;
    if (known !== undefined && sent.seq !== known.seq + 1) throw refused('invalid_operation');
    const lag = this.revision - sent.revision;
    if (lag < 0 || lag > this.log.length) throw refused('stale_revision');
    let operation = read(sent.operation);
    for (const entry of this.log.slice(this.log.length - lag)) {
      operation = transform(operation, entry.operation, clientId < entry.clientId);
    }
    try {
      check(this.text, operation);
    } catch {
      throw refused('invalid_operation');
    }
    this.text = apply(this.text, operation);
    this.revision += 1;
    const entry = { operation, clientId, seq: sent.seq };
    this.log.push(entry);
    this.answered.set(clientId, { seq: sent.seq, revision: this.revision });
    for (const link of this.links) {
      if (link !== author) link.tell('collaboration_update', updateOf(entry, this.revision));
    }
    return this.revision;
  }
}

/** One client's way to the server and back: what is said arrives when the test says so. */
export class MemoryLink implements RoomLink, Rooms {
  readonly roomId = ROOM;
  readonly userId: string;
  private user: RoomUser | null = null;
  private up: (() => void)[] = [];
  private down: (() => void)[] = [];
  private isIn = false;
  /** Before this revision its operations are made on a text that was replaced. */
  private given = 0;
  private readonly unanswered = new Set<(error: RealtimeError) => void>();
  /** What was on its way when a connection was lost, and may still arrive. */
  private readonly orphans: (() => void)[][] = [];
  sent: Sent[] = [];

  constructor(
    private readonly server: MemoryServer,
    readonly clientId: string,
  ) {
    this.userId = clientId;
  }

  get isLinked(): boolean {
    return this.isIn;
  }

  /** Nothing is on its way. */
  get isIdle(): boolean {
    return this.up.length === 0 && this.down.length === 0;
  }

  get isQuiet(): boolean {
    return this.isIn && this.isIdle;
  }

  hold(_: string, user: RoomUser): RoomLink {
    this.user = user;
    this.rejoin();
    return this;
  }

  request(event: string, payload: object): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (!this.isIn) {
        reject(refused('connection_lost'));
        return;
      }
      const fail = (error: RealtimeError): void => {
        this.unanswered.delete(fail);
        reject(error);
      };
      this.unanswered.add(fail);
      this.sent.push(payload as Sent);
      this.up.push(() => {
        const answer = (tell: () => void): void => {
          this.down.push(() => {
            if (this.unanswered.delete(fail)) tell();
          });
        };
        this.serve(event, payload as Sent, {
          isHere: () => this.unanswered.has(fail),
          resolve: (value) => {
            answer(() => {
              resolve(value);
            });
          },
          reject: (error) => {
            answer(() => {
              reject(error);
            });
          },
        });
      });
    });
  }

  rejoin(): void {
    this.up.push(() => {
      const wish = this.user?.wish() ?? {};
      this.server.links.add(this);
      const joined = this.joined(wish);
      this.down.push(() => {
        this.isIn = true;
        this.user?.joined(joined);
      });
      if (joined.resync) this.tellState('stale_revision');
    });
  }

  moveCursor(): void {
    // Cursors have tests of their own.
  }

  release(): void {
    this.server.links.delete(this);
    this.user = null;
  }

  tell(name: RoomEventName, payload: unknown): void {
    this.down.push(() => {
      if (this.isIn) this.user?.event(name, payload as never);
    });
  }

  tellState(reason: string): void {
    const { text, revision } = this.server;
    this.given = revision;
    const last_seq = this.server.lastSeq(this.clientId);
    this.tell('document_state', { room_id: ROOM, text, revision, last_seq, reason });
  }

  /** The next thing said arrives there; false if there is none. */
  sendUp(): boolean {
    const call = this.up.shift();
    call?.();
    return call !== undefined;
  }

  sendDown(): boolean {
    const call = this.down.shift();
    call?.();
    return call !== undefined;
  }

  /** Something that was on its way when the link was cut arrives after all. */
  sendOrphan(): boolean {
    const call = this.orphans[0]?.shift();
    if (this.orphans[0]?.length === 0) this.orphans.shift();
    call?.();
    return call !== undefined;
  }

  /** Cut it; what is on its way up arrives late, or never. */
  cut(arrivesLate: boolean): void {
    if (arrivesLate && this.isIn && this.up.length > 0) this.orphans.push(this.up);
    this.up = [];
    this.down = [];
    this.isIn = false;
    this.given = 0;
    this.server.links.delete(this);
    for (const fail of [...this.unanswered]) fail(refused('connection_lost'));
    this.user?.lost(refused('connection_lost'));
  }

  private joined({ revision, document }: ReturnType<RoomUser['wish']>): RoomJoined {
    const operations = revision === undefined ? null : this.server.since(revision);
    return {
      ...{ room_id: ROOM, participant_count: 1, permission: 'edit', participants: [] },
      revision: this.server.revision,
      last_seq: this.server.lastSeq(this.clientId),
      ...(document
        ? { document: { text: this.server.text } }
        : operations === null
          ? { resync: true }
          : { operations }),
    };
  }

  private serve(event: string, sent: Sent, answer: Answer): void {
    const here = answer.isHere();
    if (event !== 'collaboration_operation') {
      answer.resolve({ ok: true });
      return;
    }
    const { refusal } = this.server;
    this.server.refusal = null;
    try {
      if (refusal === 'unavailable') {
        // Perhaps it is in the log all the same; then its author is told as the others are.
        this.server.commit(this.clientId, sent, null);
      }
      if (refusal !== null) throw refused(refusal);
      if (here && sent.revision < this.given) throw refused('stale_revision', 'replaced');
      const revision = this.server.commit(this.clientId, sent, here ? this : null);
      answer.resolve({ ok: true, room_id: ROOM, operation_id: null, revision, seq: sent.seq });
    } catch (error) {
      if (!(error instanceof RealtimeError)) throw error;
      answer.reject(error);
      const isOutOfStep = error.code === 'invalid_operation' || error.code === 'stale_revision';
      if (here && isOutOfStep && error.message !== 'replaced') this.tellState('refused');
    }
  }
}

interface Answer {
  /** Whether the connection that asked is still there. */
  isHere(): boolean;
  resolve(value: object): void;
  reject(error: RealtimeError): void;
}

function read(flat: readonly FlatOperation[]): Operation {
  if (flat.length === 0) throw refused('invalid_operation');
  return fromWire(flat.filter(({ type }) => type !== 'retain'));
}

function updateOf({ operation, clientId, seq }: Entry, revision: number): CollaborationUpdate {
  return {
    ...{ room_id: ROOM, user_id: clientId, timestamp: 1, operation_id: `${clientId}-${seq}` },
    ...{ revision, client_id: clientId, seq },
    operations: toWire(operation),
  };
}

function refused(code: ErrorCode, message: string = code): RealtimeError {
  return new RealtimeError(code, message);
}
