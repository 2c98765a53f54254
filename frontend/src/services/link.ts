/**
 * One link to the daemon, from its handshake to its end; a new one is made for each attempt.
 *
 * What the daemon says is told in its order, answers among it: after an answer nothing further is
 * told before whoever awaits it has gone on.
 */

import { io, type Socket } from 'socket.io-client';

import { RealtimeError } from '../types';
import { fieldsOf, refusal } from './wire';

const UP_WITHIN_MS = 20_000;
/** Every request gets an answer; a daemon that gives none for so long is as good as gone. */
const ANSWER_WITHIN_MS = 30_000;

/** What a link tells; `down` comes once, and is the last. */
export interface LinkUser {
  up(): void;
  transportChanged(): void;
  heard(event: string, payload: unknown): void;
  down(end: LinkEnd): void;
}

export interface LinkEnd {
  readonly error: RealtimeError;
  /** The daemon said: do not come back. */
  readonly isFinal: boolean;
}

export class Link {
  private readonly socket: Socket;
  private readonly unanswered = new Set<(error: RealtimeError) => void>();
  /** What waits until an answer has been taken in; null when nothing has to. */
  private inbox: (() => void)[] | null = null;
  private isDown = false;
  private isSilent = false;
  private readonly upTimer: ReturnType<typeof setTimeout>;

  constructor(
    url: string,
    auth: Readonly<Record<string, string>>,
    private readonly user: LinkUser,
  ) {
    this.socket = io(url, { auth, forceNew: true, reconnection: false, timeout: UP_WITHIN_MS });
    this.upTimer = setTimeout(() => {
      this.fail('The server does not answer');
    }, UP_WITHIN_MS);
    this.socket.on('connect', () => {
      clearTimeout(this.upTimer);
      this.socket.io.engine.on('upgrade', () => {
        if (!this.isDown) this.user.transportChanged();
      });
      if (!this.isDown) this.user.up();
    });
    this.socket.on('connect_error', (error) => {
      this.end({ error: failureOf(error), isFinal: false });
    });
    this.socket.on('disconnect', (reason) => {
      const isFinal = reason === 'io server disconnect';
      const error = isFinal
        ? new RealtimeError('forbidden', 'The server has ended this connection')
        : new RealtimeError('connection_lost', 'The connection was lost');
      this.end({ error, isFinal });
    });
    this.socket.onAny((event: unknown, payload: unknown) => {
      if (typeof event === 'string') {
        this.inOrder(() => {
          this.user.heard(event, payload);
        });
      }
    });
  }

  get transport(): 'websocket' | 'polling' | null {
    if (!this.socket.connected) return null;
    return this.socket.io.engine.transport.name === 'polling' ? 'polling' : 'websocket';
  }

  /** Ask, and get the answer; rejects with a `RealtimeError`. */
  request(event: string, payload: object): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (this.isDown) {
        reject(connectionLost(event));
        return;
      }
      const timer = setTimeout(() => {
        this.fail('The server does not answer');
      }, ANSWER_WITHIN_MS);
      const fail = (error: RealtimeError): void => {
        clearTimeout(timer);
        this.unanswered.delete(fail);
        reject(error);
      };
      this.unanswered.add(fail);
      this.socket.emit(event, payload, (answer: unknown) => {
        if (!this.unanswered.has(fail)) return;
        // The answer, too, has its place behind what is held back.
        this.inOrder(() => {
          this.holdBack();
          if (fieldsOf(answer).ok !== true) {
            fail(refusal(answer, event));
            return;
          }
          clearTimeout(timer);
          this.unanswered.delete(fail);
          resolve(answer);
        });
      });
    });
  }

  /** Say something that has no answer. */
  emit(event: string, payload: object): void {
    if (!this.isDown) this.socket.emit(event, payload);
  }

  /** End it with a goodbye: this client is not to be waited for. Nothing is told any more. */
  close(): void {
    this.silence();
    this.socket.disconnect();
  }

  /** End it as if it had been lost: this client comes back. Nothing is told any more. */
  drop(): void {
    this.silence();
    this.abandon();
  }

  private fail(message: string): void {
    this.end({ error: new RealtimeError('connection_lost', message), isFinal: false });
  }

  private abandon(): void {
    // To disconnect the socket would say goodbye, if there is somebody to say it to.
    if (this.socket.connected) this.socket.io.engine.close();
    else this.socket.disconnect();
  }

  private end(end: LinkEnd): void {
    if (this.isDown) return;
    this.isDown = true;
    this.release();
    this.abandon();
    this.inOrder(() => {
      this.user.down(end);
    });
  }

  private silence(): void {
    this.isDown = true;
    this.isSilent = true;
    this.release();
  }

  private release(): void {
    clearTimeout(this.upTimer);
    for (const fail of [...this.unanswered]) fail(connectionLost());
    this.socket.offAny();
  }

  private inOrder(call: () => void): void {
    if (this.inbox !== null) this.inbox.push(call);
    else if (!this.isSilent) call();
  }

  private holdBack(): void {
    this.inbox ??= [];
    // A task of its own: by then all that hangs on the answer's promise has been done.
    setTimeout(() => {
      const held = this.inbox ?? [];
      this.inbox = null;
      // Those behind another answer wait behind it.
      for (const call of held) this.inOrder(call);
    }, 0);
  }
}

export function connectionLost(event?: string): RealtimeError {
  return new RealtimeError('connection_lost', 'The connection was lost', {
    ...(event !== undefined && { event }),
  });
}

/** Why there is no link to be had at all. */
export function errorOf(error: unknown): RealtimeError {
  if (error instanceof RealtimeError) return error;
  const message = error instanceof Error ? error.message : 'It failed';
  return new RealtimeError('unsupported', message);
}

/** What the browser or the daemon had against a handshake. */
function failureOf(error: unknown): RealtimeError {
  const { context, description, message } = fieldsOf(error);
  if (description !== 429) {
    const reason = typeof message === 'string' ? ` (${message})` : '';
    return new RealtimeError('connection_lost', `The server cannot be reached${reason}`);
  }
  const request = context as Partial<XMLHttpRequest> | undefined;
  const seconds = Number(request?.getResponseHeader?.('Retry-After'));
  return new RealtimeError('rate_limited', 'Too many connections', {
    ...(seconds > 0 && { retryAfterMs: seconds * 1000 }),
  });
}
