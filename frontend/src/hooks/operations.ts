import { diff, toWire } from '../ot';
import {
  FlatOperations,
  type CollaborationOperation,
  type SentOperation,
} from '../services/flatOperations';
import type { SharedSong } from '../roomSong';
import type { RealtimeError, Unsubscribe } from '../types';

export interface Delivery {
  /** What has come since the last that was delivered. */
  readonly operations: readonly CollaborationOperation[];
  /** The ids of own operations that the daemon has not acknowledged. */
  readonly pendingOperations: readonly string[];
  /** Why the last that was sent is none. */
  readonly error: RealtimeError | null;
}

export const NOTHING_DELIVERED: Delivery = { operations: [], pendingOperations: [], error: null };

/**
 * The flat operations that a component of its own text has to apply, each delivered once.
 *
 * That is whatever changes the song but what was sent by `send`. The song's first text is none of
 * it: it is where the component begins, and that is not before the room was joined.
 */
export class Operations {
  #delivery = NOTHING_DELIVERED;
  #isDelivered = true;
  #count = 0;
  /** The text as it has been told; null before there was one. */
  #told: string | null = null;
  /** What has changed while nobody listened is not told yet. */
  #isBehind = true;
  #flat: FlatOperations | null = null;
  readonly #listeners = new Set<() => void>();

  constructor(private readonly shared: SharedSong) {}

  readonly getSnapshot = (): Delivery => this.#delivery;

  readonly subscribe = (listener: () => void): Unsubscribe => {
    const held = this.shared.holdIfPossible();
    if (!held) {
      return () => undefined;
    }
    const { song, release } = held;
    this.#listeners.add(listener);
    this.#isBehind = true;
    const flat = new FlatOperations(song, {
      updates: () => [],
      told: (operation) => {
        this.#deliver([{ ...operation, id: this.#nextId() }]);
      },
      failed: (error) => {
        this.#tell({ error });
      },
    });
    this.#flat = flat;
    const unsubscribes = [
      song.onChange(() => {
        if (!this.#isBehind) {
          this.#told = this.shared.getSnapshot().text;
        }
      }),
      song.subscribe(() => {
        this.#refreshed();
      }),
      release,
    ];
    this.#refreshed();
    return () => {
      this.#listeners.delete(listener);
      flat.close();
      unsubscribes.forEach((unsubscribe) => {
        unsubscribe();
      });
    };
  };

  /** These operations have been shown to the component: the next begin anew. */
  delivered(operations: readonly CollaborationOperation[]): void {
    this.#isDelivered ||= operations === this.#delivery.operations;
  }

  /** Edit the song as the component has already edited its own text; returns the edit's id. */
  send(operation: SentOperation): string {
    const id = operation.id ?? this.#nextId();
    this.#tell({ pendingOperations: [...this.#delivery.pendingOperations, id], error: null });
    this.#flat?.send({ ...operation, id });
    this.#refreshed();
    return id;
  }

  #refreshed(): void {
    const { wasJoined, unsent, text } = this.shared.getSnapshot();
    if (!wasJoined) {
      return;
    }
    if (this.#isBehind) {
      this.#catchUp(text);
    }
    if (unsent === 0 && this.#delivery.pendingOperations.length > 0) {
      this.#tell({ pendingOperations: [] });
    }
  }

  /** What has changed while nobody listened comes as one difference. */
  #catchUp(text: string): void {
    const told = this.#told;
    this.#isBehind = false;
    this.#told = text;
    if (told !== null) {
      const { roomId, revision } = this.shared.getSnapshot();
      const rest = { roomId, revision, userId: null, timestamp: Date.now() };
      this.#deliver(
        toWire(diff(told, text)).flatMap((flat) =>
          flat.type === 'retain' ? [] : [{ ...flat, ...rest, id: this.#nextId() }],
        ),
      );
    }
  }

  #deliver(fresh: readonly CollaborationOperation[]): void {
    if (fresh.length > 0) {
      const operations = this.#isDelivered ? fresh : [...this.#delivery.operations, ...fresh];
      this.#isDelivered = false;
      this.#tell({ operations });
    }
  }

  #nextId(): string {
    this.#count += 1;
    return `${this.shared.roomId}-${this.#count}`;
  }

  #tell(news: Partial<Delivery>): void {
    this.#delivery = { ...this.#delivery, ...news };
    this.#listeners.forEach((listener) => {
      listener();
    });
  }
}
