/**
 * How long to wait before the next attempt.
 *
 * Exponential, with full jitter: anything up to the ceiling, so that the clients of a daemon that
 * was restarted do not all come back at once. It never ends; what would give up is the page.
 */

const FIRST_CEILING_MS = 1000;
const LAST_CEILING_MS = 30_000;
/** Not at once, whatever the dice say: a daemon that closes each link would be hammered. */
const LEAST_MS = 50;

export class Backoff {
  private attempts = 0;

  /** `random()` is at least 0 and less than 1. */
  constructor(private readonly random: () => number = Math.random) {}

  /** Milliseconds before the next attempt. */
  next(): number {
    const ceiling = Math.min(LAST_CEILING_MS, FIRST_CEILING_MS * 2 ** this.attempts);
    this.attempts += 1;
    return Math.max(LEAST_MS, Math.floor(this.random() * ceiling));
  }

  /** All is well again: the next wait is a short one. */
  reset(): void {
    this.attempts = 0;
  }
}
