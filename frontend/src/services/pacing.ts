/**
 * Keeping to the rates that the daemon announces, so that it need not refuse.
 *
 * The same arithmetic as the daemon's: a whole window's worth may go in one burst, then one by one.
 * A user's other tabs spend of the same rate; what the daemon refuses all the same tells how long to
 * wait.
 */

export interface Rate {
  readonly count: number;
  readonly seconds: number;
}

export class TokenBucket {
  /** When the bucket is full again, in milliseconds of the caller's clock. */
  private fullAt = 0;

  constructor(private readonly rate: Rate) {}

  /** Take one: 0 if there was one, else the milliseconds until there is; then none is taken. */
  take(now: number): number {
    const windowMs = this.rate.seconds * 1000;
    const costMs = windowMs / this.rate.count;
    const fullAt = Math.max(this.fullAt, now) + costMs;
    const lacking = fullAt - windowMs - now;
    // A billionth of a millisecond is a rounding error, and not worth a timer.
    if (lacking > 1e-6) return Math.ceil(lacking);
    this.fullAt = fullAt;
    return 0;
  }
}

/** Lets requests go one after the other, at a rate. */
export class Pacer {
  private rate: Rate | null = null;
  private bucket: TokenBucket | null = null;
  private notBefore = 0;
  private queue: (() => void)[] = [];
  private timer: ReturnType<typeof setTimeout> | undefined;

  /** `now()` is milliseconds of a clock that never jumps. */
  constructor(private readonly now: () => number = () => performance.now()) {}

  /** Keep to another rate from now on; null is none. */
  setRate(rate: Rate | null): void {
    if (rate?.count === this.rate?.count && rate?.seconds === this.rate?.seconds) return;
    this.rate = rate;
    this.bucket = rate === null ? null : new TokenBucket(rate);
    this.proceed();
  }

  /** Let nothing go for so long: the daemon has said so. */
  pause(ms: number): void {
    this.notBefore = Math.max(this.notBefore, this.now() + ms);
  }

  /** Called when it is its turn: at once, if it may go at once. What is returned calls it off. */
  whenDue(go: () => void): () => void {
    const turn = (): void => {
      go();
    };
    this.queue.push(turn);
    this.proceed();
    return () => {
      this.queue = this.queue.filter((other) => other !== turn);
    };
  }

  /** Forget what waits. */
  clear(): void {
    this.queue = [];
    clearTimeout(this.timer);
  }

  private proceed(): void {
    clearTimeout(this.timer);
    for (let next = this.queue[0]; next !== undefined; next = this.queue[0]) {
      const now = this.now();
      const waitMs = this.notBefore > now ? this.notBefore - now : (this.bucket?.take(now) ?? 0);
      if (waitMs > 0) {
        this.timer = setTimeout(() => {
          this.proceed();
        }, waitMs);
        return;
      }
      this.queue.shift();
      next();
    }
  }
}
