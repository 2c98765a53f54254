/** Asks the daemon now and then, and says how long there and back took. */

import { RealtimeError } from '../types';

const EVERY_MS = 20_000;
/** A daemon that answers later than that, when the page has come back, is not there any more. */
const ALIVE_WITHIN_MS = 5000;

export class Latency {
  private timer: ReturnType<typeof setTimeout> | undefined;
  private running = false;

  /** `ping()` resolves when the answer is there, and rejects when it never will be. */
  constructor(
    private readonly ping: () => Promise<unknown>,
    private readonly tell: (milliseconds: number) => void,
    private readonly now: () => number = () => performance.now(),
  ) {}

  /** Begin, and ask at once. */
  start(): void {
    this.running = true;
    void this.measure();
  }

  stop(): void {
    this.running = false;
    clearTimeout(this.timer);
  }

  /** Whether the daemon still answers, for a page that was away. */
  async isAlive(): Promise<boolean> {
    let deadline: ReturnType<typeof setTimeout> | undefined;
    const tooLate = new Promise<false>((resolve) => {
      deadline = setTimeout(() => {
        resolve(false);
      }, ALIVE_WITHIN_MS);
    });
    const answered = await Promise.race([this.measure(), tooLate]);
    clearTimeout(deadline);
    return answered;
  }

  private async measure(): Promise<boolean> {
    clearTimeout(this.timer);
    const began = this.now();
    let answered = true;
    try {
      await this.ping();
      if (this.running) this.tell(Math.round(this.now() - began));
    } catch (error) {
      // A refusal is an answer, too.
      answered = error instanceof RealtimeError && error.code !== 'connection_lost';
    }
    clearTimeout(this.timer);
    if (this.running) this.timer = setTimeout(() => void this.measure(), EVERY_MS);
    return answered;
  }
}
