/**
 * The link that the page wants: made, kept, made again after every loss, for as long as it is
 * wanted.
 *
 * - Only the daemon says whether a token is good: the clock of this machine may be anywhere.
 * - A token that is refused is not sent again on that link; one that is a function is asked for
 *   another.
 * - After the daemon's own DISCONNECT ("do not come back") only the page begins again.
 */

import { RealtimeError, type RoomEventName, type Token, type UserId } from '../types';
import { Backoff } from './backoff';
import { Latency } from './latency';
import { connectionLost, errorOf, Link, type LinkEnd } from './link';
import { whenPageReturns } from './page';
import { Status } from './status';
import { newlyNamed, tokenOf } from './token';
import { authenticated, isRoomEvent, nonsense, refusal } from './wire';

const ANSWER_TO_TOKEN_WITHIN_MS = 20_000;
/** A link that has lived so long was a good one. */
const SETTLED_AFTER_MS = 5000;
const ASK_FOR_TOKEN_AGAIN_AFTER_MS = 10_000;

export interface ConnectionUser {
  greeted(greeting: unknown): void;
  /** Who is signed in is known: by the token, or by the daemon. */
  identified(userId: UserId, isAnother: boolean): void;
  /** The daemon has taken the token, of a new link or again. */
  ready(): void;
  lost(error: RealtimeError): void;
  heard(event: RoomEventName, payload: unknown): void;
  failed(error: RealtimeError): void;
}

export interface ConnectionOptions {
  readonly url: () => string;
  readonly clientId: () => Promise<string>;
  readonly backoff?: Backoff;
}

export class Connection {
  readonly status = new Status();
  /** Who signed in last. */
  identity: UserId | null = null;
  private isWanted = false;
  private token: Token | null = null;
  /** The token that is on its way, or was taken. */
  private sent: string | null = null;
  private refused: string | null = null;
  private isExpiring = false;
  private link: Link | null = null;
  private attempt = 0;
  /** When the link that is there was first ready; null if it never was. */
  private readySince: number | null = null;
  private isWaiting = false;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private tokenTimer: ReturnType<typeof setTimeout> | undefined;
  private unwatch: (() => void) | null = null;
  private readonly backoff: Backoff;
  private readonly latency = new Latency(
    () => this.request('ping', { sent_at: Math.round(performance.now()) }),
    (latency) => {
      this.status.set({ latency });
    },
  );

  constructor(
    private readonly options: ConnectionOptions,
    private readonly user: ConnectionUser,
  ) {
    this.backoff = options.backoff ?? new Backoff();
  }

  get isReady(): boolean {
    return this.status.get().authenticated;
  }

  /** Want a link from now on, and be the user of that token on it. */
  open(token?: Token): void {
    const isOther = token !== undefined && token !== this.token;
    if (isOther) this.token = token;
    if (!this.isWanted) {
      this.isWanted = true;
      this.refused = null;
      this.unwatch ??= whenPageReturns(() => {
        this.comeBack();
      });
      this.begin();
    } else if (isOther && this.status.get().connected && this.link !== null) {
      void this.renew(this.link);
    } else if (isOther || this.isWaiting) {
      this.link?.drop();
      this.link = null;
      this.begin();
    }
  }

  /** Want none any more, and say goodbye. */
  close(): void {
    this.isWanted = false;
    this.unwatch?.();
    this.unwatch = null;
    this.attempt += 1;
    this.stop();
    const { link } = this;
    this.link = null;
    link?.close();
    this.backoff.reset();
    this.status.set({ ...DOWN, state: 'disconnected', error: null, retryCount: 0 });
    this.status.set({ userId: null, reconnectingSince: null });
    if (link !== null) this.user.lost(connectionLost());
  }

  /** Ask the daemon; rejects when there is no link that it would answer on. */
  request(event: string, payload: object): Promise<unknown> {
    const { link } = this;
    if (link === null || !this.isReady) return Promise.reject(connectionLost(event));
    const answered = link.request(event, payload);
    answered.catch((error: unknown) => {
      const isUnknown = error instanceof RealtimeError && error.code === 'unauthenticated';
      if (isUnknown && link === this.link && this.isReady) this.expire(link);
    });
    return answered;
  }

  /** Tell the daemon something that it does not answer. */
  emit(event: string, payload: object): void {
    if (this.isReady) this.link?.emit(event, payload);
  }

  // Attempts

  private begin(): void {
    this.stop();
    this.attempt += 1;
    if (this.status.get().state !== 'reconnecting') {
      this.status.set({ ...DOWN, state: 'connecting', error: null });
    }
    void this.dial(this.attempt);
  }

  private async dial(attempt: number): Promise<void> {
    let token: string | null;
    let clientId: string;
    try {
      token = this.token === null ? null : await tokenOf(this.token);
      if (attempt === this.attempt) this.identify(newlyNamed(token, this.sent));
      clientId = await this.options.clientId();
    } catch (error) {
      if (attempt === this.attempt) this.again(errorOf(error));
      return;
    }
    if (attempt !== this.attempt) return;
    this.sent = token;
    this.readySince = null;
    const auth = { client_id: clientId, ...(token !== null && { token }) };
    try {
      const link: Link = new Link(this.options.url(), auth, {
        up: () => {
          this.wentUp(link);
        },
        transportChanged: () => {
          this.status.set({ transport: link.transport });
        },
        heard: (event, payload) => {
          this.hear(link, event, payload);
        },
        down: (end) => {
          this.wentDown(end);
        },
      });
      this.link = link;
    } catch (error) {
      // An address that is none, or a browser that can do neither.
      this.again(errorOf(error));
    }
  }

  private wentUp(link: Link): void {
    this.status.set({
      state: 'authenticating',
      connected: true,
      transport: link.transport,
      retryCount: 0,
      reconnectingSince: null,
      error: null,
    });
    if (this.sent !== null) this.awaitAnswerToToken(link);
  }

  private wentDown({ error, isFinal }: LinkEnd): void {
    this.link = null;
    this.stop();
    if (this.readySince !== null && performance.now() - this.readySince > SETTLED_AFTER_MS) {
      this.backoff.reset();
    }
    if (isFinal) {
      this.isWanted = false;
      this.giveUp(error);
    } else {
      this.again(error);
    }
  }

  /** Try again in a while. */
  private again(error: RealtimeError): void {
    this.stop();
    const { retryCount, reconnectingSince } = this.status.get();
    this.status.set({
      ...DOWN,
      state: 'reconnecting',
      retryCount: retryCount + 1,
      reconnectingSince: reconnectingSince ?? Date.now(),
      error,
    });
    const waitMs = Math.max(this.backoff.next(), error.details.retryAfterMs ?? 0);
    this.isWaiting = true;
    this.timer = setTimeout(() => {
      this.begin();
    }, waitMs);
    this.user.lost(error);
  }

  /** Do nothing more before the page says so. */
  private giveUp(error: RealtimeError): void {
    this.stop();
    this.attempt += 1;
    this.link?.close();
    this.link = null;
    this.status.set({ ...DOWN, state: 'error', error, retryCount: 0, reconnectingSince: null });
    this.user.lost(error);
    this.user.failed(error);
  }

  private stop(): void {
    this.isWaiting = false;
    clearTimeout(this.timer);
    clearTimeout(this.tokenTimer);
    this.latency.stop();
  }

  private comeBack(): void {
    if (!this.isWanted) return;
    const { link } = this;
    if (link === null) {
      if (this.isWaiting) this.begin();
    } else if (this.isReady) {
      void this.latency.isAlive().then((isAlive) => {
        if (isAlive || link !== this.link) return;
        link.drop();
        this.wentDown({ error: connectionLost(), isFinal: false });
      });
    }
  }

  // What the daemon says

  private hear(link: Link, event: string, payload: unknown): void {
    if (event === 'connected') {
      this.user.greeted(payload);
    } else if (event === 'authenticated') {
      const answer = authenticated(payload);
      if (answer === null) this.user.failed(nonsense(event));
      else this.wasTaken(link, answer.userId);
    } else if (event === 'auth_error') {
      this.wasRefused(link, refusal(payload, 'authenticate'));
    } else if (event === 'token_expiring') {
      this.tokenExpires(link);
    } else if (event === 'error') {
      this.user.failed(refusal(payload));
    } else if (isRoomEvent(event)) {
      this.user.heard(event, payload);
    }
    // Whatever else it may be, later daemons know why.
  }

  private wasTaken(link: Link, userId: UserId): void {
    clearTimeout(this.tokenTimer);
    this.identify(userId);
    this.refused = null;
    this.isExpiring = false;
    this.readySince ??= performance.now();
    this.status.set({
      state: 'connected',
      connected: true,
      authenticated: true,
      userId,
      transport: link.transport,
      error: null,
    });
    this.latency.start();
    this.user.ready();
  }

  // Tokens

  private wasRefused(link: Link, error: RealtimeError): void {
    clearTimeout(this.tokenTimer);
    const { code } = error;
    if (code === 'unavailable' || code === 'internal' || code === 'rate_limited') {
      this.restart(link, error);
    } else if (code === 'forbidden' && this.isReady) {
      this.makeWay(link); // for another user than the one who is here
    } else {
      const isSecond = this.refused !== null;
      this.refused = this.sent;
      this.user.failed(error);
      if (typeof this.token === 'function') {
        if (isSecond) this.restart(link, error);
        else void this.renew(link);
      } else if (this.token === this.sent && !this.isReady) {
        // On a link that was good before, a fresh token goes on without leaving any room.
        if (this.readySince === null) this.giveUp(error);
        else this.status.set({ state: 'error', error });
      }
    }
  }

  /** The token that was taken is good no more. */
  private expire(link: Link): void {
    const error = new RealtimeError('token_expired', 'Your session has ended: sign in again');
    this.latency.stop();
    this.status.set({ state: 'authenticating', authenticated: false, error });
    this.user.lost(error);
    this.wasRefused(link, error);
  }

  private tokenExpires(link: Link): void {
    this.isExpiring = true;
    if (typeof this.token === 'function') {
      void this.renew(link);
    } else if (this.token === this.sent) {
      this.user.failed(new RealtimeError('token_expired', 'Your session is about to end'));
    }
  }

  /** Send the token, or a fresh one, on the link that is there. */
  private async renew(link: Link): Promise<void> {
    clearTimeout(this.tokenTimer);
    if (this.token === null) return;
    let token: string | null = null;
    try {
      token = await tokenOf(this.token);
    } catch (error) {
      this.user.failed(errorOf(error));
    }
    if (link !== this.link || !this.status.get().connected) return;
    if (this.readySince !== null && newlyNamed(token, this.sent) !== null) {
      this.makeWay(link);
      return;
    }
    if (this.isReady && token === this.sent && !this.isExpiring) return;
    if (token === null || token === this.refused || (this.isReady && token === this.sent)) {
      this.tokenTimer = setTimeout(() => void this.renew(link), ASK_FOR_TOKEN_AGAIN_AFTER_MS);
      return;
    }
    this.sent = token;
    if (!this.isReady) this.status.set({ state: 'authenticating' });
    link.emit('authenticate', { token });
    this.awaitAnswerToToken(link);
  }

  /** Another user takes a link of its own. */
  private makeWay(link: Link): void {
    link.close();
    this.link = null;
    this.user.lost(connectionLost());
    this.status.set({ ...DOWN, userId: null });
    this.begin();
  }

  private identify(userId: UserId | null): void {
    const isAnother = this.identity !== null;
    if (userId === null || (isAnother && String(userId) === String(this.identity))) return;
    this.identity = userId;
    this.user.identified(userId, isAnother);
  }

  private awaitAnswerToToken(link: Link): void {
    clearTimeout(this.tokenTimer);
    this.tokenTimer = setTimeout(() => {
      this.restart(link, connectionLost('authenticate'));
    }, ANSWER_TO_TOKEN_WITHIN_MS);
  }

  private restart(link: Link, error: RealtimeError): void {
    link.drop();
    this.wentDown({ error, isFinal: false });
  }
}

const DOWN = {
  connected: false,
  authenticated: false,
  latency: null,
  transport: null,
} as const;
