/** The demo's page at a daemon that is no demo: a test gives the files, and signs the tokens. */

import { join } from 'node:path';

import type { BrowserContext } from 'playwright-core';

import type { Daemon } from '../daemon';

const PAGE = join(import.meta.dirname, '../../../chordme_daemon/page');

export class Signer {
  /** The next token lasts so long. */
  lastsS = 3600;
  /** How many tokens were given. */
  count = 0;
  private expiresS = 0;

  constructor(private readonly daemon: Daemon) {}

  /** The last token that was given is good no more. */
  get isExpired(): boolean {
    return Date.now() / 1000 > this.expiresS + 1;
  }

  /** Give a browser the page and its tokens: each when the one before has expired. */
  readonly serve = async (context: BrowserContext): Promise<void> => {
    const { url } = this.daemon;
    await context.route(`${url}/?song=*`, (route) =>
      route.fulfill({ path: join(PAGE, 'index.html') }),
    );
    await context.route(`${url}/demo/assets/*`, (route) =>
      route.fulfill({ path: join(PAGE, new URL(route.request().url()).pathname.slice(6)) }),
    );
    await context.route(`${url}/demo/token?*`, (route) => {
      const user = new URL(route.request().url()).searchParams.get('user') ?? '';
      const token = this.next(user);
      return token === null ? route.fulfill({ status: 503 }) : route.fulfill({ json: { token } });
    });
  };

  private next(user: string): string | null {
    if (!this.isExpired) return null;
    this.count += 1;
    this.expiresS = Math.floor(Date.now() / 1000) + this.lastsS;
    const token = this.daemon.token(user, { rooms: { '*': 'edit' }, exp: this.expiresS });
    // It may come too late on a busy machine: then the next is given more time.
    this.lastsS *= 2;
    return token;
  }
}
