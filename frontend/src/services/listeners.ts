import type { Unsubscribe } from '../types';

/** Who wants to be told of something. One that throws harms no other. */
export class Listeners<Args extends unknown[]> {
  private readonly listeners = new Set<{ call: (...args: Args) => void }>();

  get size(): number {
    return this.listeners.size;
  }

  /** The same function may be added twice; each unsubscriber takes back its own. */
  add(call: (...args: Args) => void): Unsubscribe {
    const listener = { call };
    this.listeners.add(listener);
    return () => {
      this.listeners.delete(listener);
    };
  }

  tell(...args: Args): void {
    for (const listener of [...this.listeners]) {
      if (!this.listeners.has(listener)) continue;
      try {
        listener.call(...args);
      } catch (error) {
        console.error('chordme: a listener failed', error);
      }
    }
  }

  clear(): void {
    this.listeners.clear();
  }
}
