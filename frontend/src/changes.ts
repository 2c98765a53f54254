import type { TextChange, Unsubscribe } from './types';

interface Listener {
  readonly call: (change: TextChange) => void;
  /** How many changes it has been told, of all that there were. */
  heard: number;
}

/**
 * Tells each listener all changes in their order.
 *
 * A listener may edit the text when it is told of a change. It hears of its own edit at once, but
 * no other listener hears of that before it has heard of the change.
 */
export class Changes {
  private readonly listeners = new Set<Listener>();
  /** Those that not everybody has heard, and how many came before them. */
  private recent: TextChange[] = [];
  private count = 0;
  private depth = 0;

  add(call: (change: TextChange) => void): Unsubscribe {
    const listener: Listener = { call, heard: this.count + this.recent.length };
    this.listeners.add(listener);
    return () => {
      this.listeners.delete(listener);
    };
  }

  tell(change: TextChange): void {
    this.recent.push(change);
    this.depth += 1;
    for (const listener of [...this.listeners]) this.catchUp(listener);
    this.depth -= 1;
    if (this.depth > 0) return;
    this.count += this.recent.length;
    this.recent = [];
  }

  private catchUp(listener: Listener): void {
    for (
      let change = this.recent[listener.heard - this.count];
      change !== undefined && this.listeners.has(listener);
      change = this.recent[listener.heard - this.count]
    ) {
      listener.heard += 1;
      try {
        listener.call(change);
      } catch (error) {
        console.error('chordme: a listener failed', error);
      }
    }
  }
}
