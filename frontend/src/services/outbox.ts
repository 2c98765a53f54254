import { RealtimeError } from '../types';

/** So many messages may wait; the page of somebody who is offline for long is not to grow. */
const MOST = 100;
const AGAIN_AFTER_MS = 1000;
const AGAIN: ReadonlySet<string> = new Set(['rate_limited', 'unavailable', 'internal']);

/** Messages of one room that wait until they can be sent, each once and in their order. */
export class Outbox {
  private readonly waiting: object[] = [];
  private isSending = false;
  private timer: ReturnType<typeof setTimeout> | undefined;

  /** `send` rejects with a `RealtimeError`; what can never be sent is told to `failed`. */
  constructor(
    private readonly send: (payload: object) => Promise<unknown>,
    private readonly failed: (error: RealtimeError) => void,
  ) {}

  add(payload: object): void {
    if (this.waiting.length >= MOST) {
      this.failed(new RealtimeError('unavailable', 'Too many messages wait to be sent'));
      return;
    }
    this.waiting.push(payload);
    void this.flush();
  }

  /** It has arrived, although its answer was lost. */
  delete(payload: object): void {
    const at = this.waiting.indexOf(payload);
    if (at >= 0) this.waiting.splice(at, 1);
  }

  clear(): void {
    clearTimeout(this.timer);
    this.waiting.length = 0;
  }

  /** Send what waits, as far as it goes. */
  async flush(): Promise<void> {
    if (this.isSending) return;
    clearTimeout(this.timer);
    this.isSending = true;
    for (let next = this.waiting[0]; next !== undefined; next = this.waiting[0]) {
      try {
        await this.send(next);
      } catch (error) {
        const { code, details } = error as RealtimeError;
        // The next join says whether it has arrived, and then the rest goes out.
        if (code === 'connection_lost') break;
        if (AGAIN.has(code)) {
          this.timer = setTimeout(() => void this.flush(), details.retryAfterMs ?? AGAIN_AFTER_MS);
          break;
        }
        this.failed(error as RealtimeError);
      }
      this.delete(next);
    }
    this.isSending = false;
  }
}
