import { diff, fromWire, toWire } from '../ot';
import type { SharedSong } from '../sharedSong';
import type { FlatOperation, TextChange, Unsubscribe } from '../types';

export type DeliveredOperation = FlatOperation & { id: string; timestamp: number };

export interface Delivery {
  /** What has come since the last that was delivered. */
  readonly operations: readonly DeliveredOperation[];
  /** The ids of own operations that the daemon has not acknowledged. */
  readonly pendingOperations: readonly string[];
}

const NOTHING: Delivery = { operations: [], pendingOperations: [] };

/**
 * The flat operations that a component of its own text has to apply, each delivered once.
 *
 * That is whatever changes the song but what was sent by `send`. The song's first text is none of
 * it: it is where the component begins.
 */
export class Operations {
  #delivery = NOTHING;
  #isDelivered = true;
  #isSending = false;
  #count = 0;
  /** The text as it has been told; null before there was one. */
  #told: string | null = null;
  #isBehind = true;
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
    const unsubscribes = [
      song.onChange((change) => {
        this.#changed(change);
      }),
      song.subscribe(() => {
        this.#refreshed();
      }),
      release,
    ];
    this.#isBehind = true;
    this.#refreshed();
    return () => {
      this.#listeners.delete(listener);
      unsubscribes.forEach((unsubscribe) => {
        unsubscribe();
      });
    };
  };

  /** These operations have been shown to the component: the next begin anew. */
  delivered(operations: readonly DeliveredOperation[]): void {
    this.#isDelivered ||= operations === this.#delivery.operations;
  }

  /** Edit the song as the component has already edited its own text. */
  send(operation: FlatOperation | readonly FlatOperation[]): string {
    const { song } = this.shared;
    if (!song) {
      throw new Error(`The song ${this.shared.roomId} is not open`);
    }
    const id = this.#nextId();
    this.#isSending = true;
    try {
      song.edit(fromWire(Array.isArray(operation) ? operation : [operation]));
    } finally {
      this.#isSending = false;
    }
    if (song.getSnapshot().unsent > 0) {
      const { operations, pendingOperations } = this.#delivery;
      this.#tell({ operations, pendingOperations: [...pendingOperations, id] });
    }
    return id;
  }

  #changed({ operation, origin }: TextChange): void {
    if (this.#isBehind && (this.#told !== null || origin === 'reset')) {
      this.#catchUp();
    } else if (!(this.#isSending && origin === 'local')) {
      this.#deliver(toWire(operation));
    }
    this.#isBehind = false;
    this.#told = this.shared.getSnapshot().text;
  }

  #refreshed(): void {
    const { state, unsent } = this.shared.getSnapshot();
    if (this.#isBehind && state !== 'loading') {
      this.#catchUp();
    }
    const { operations, pendingOperations } = this.#delivery;
    if (pendingOperations.length > 0 && unsent === 0) {
      this.#tell({ operations, pendingOperations: [] });
    }
  }

  /** What has changed while nobody listened comes as one difference. */
  #catchUp(): void {
    const { text } = this.shared.getSnapshot();
    const told = this.#told;
    this.#isBehind = false;
    this.#told = text;
    if (told !== null) {
      this.#deliver(toWire(diff(told, text)));
    }
  }

  #deliver(flat: readonly FlatOperation[]): void {
    if (flat.length === 0) {
      return;
    }
    const timestamp = Date.now();
    const fresh = flat.map((one) => ({ ...one, id: this.#nextId(), timestamp }));
    const { operations, pendingOperations } = this.#delivery;
    this.#tell({
      operations: this.#isDelivered ? fresh : [...operations, ...fresh],
      pendingOperations,
    });
    this.#isDelivered = false;
  }

  #nextId(): string {
    this.#count += 1;
    return `${this.shared.roomId}-${this.#count}`;
  }

  #tell(delivery: Delivery): void {
    this.#delivery = delivery;
    this.#listeners.forEach((listener) => {
      listener();
    });
  }
}
