/** A daemon, a proxy in front of it, and pages in a room of each test's own. */

import { afterAll, afterEach, beforeAll } from 'vitest';

import type { TabName } from '../../src/services/clientId';
import { Daemon, until } from '../daemon';
import { Proxy } from '../proxy';
import { Page } from './page';

export class World {
  daemon!: Daemon;
  proxy!: Proxy;
  pages: Page[] = [];
  room = '';
  private rooms = 0;

  constructor() {
    beforeAll(async () => {
      this.daemon = await Daemon.start();
      this.proxy = await Proxy.start(this.daemon.port);
    });
    afterEach(() => {
      for (const page of this.pages) page.service.destroy();
      this.pages = [];
      this.proxy.isDown = false;
      this.proxy.blocksWebSockets = false;
    });
    afterAll(async () => {
      await this.proxy.stop();
      await this.daemon.stop();
    });
  }

  open(url = this.daemon.url, tab?: TabName): Page {
    if (this.pages.length === 0) {
      this.rooms += 1;
      this.room = `song-${this.rooms}`;
    }
    const page = new Page(url, tab);
    this.pages.push(page);
    return page;
  }

  /** A page of that user in the room of this test. */
  async join(user: string, url = this.daemon.url): Promise<Page> {
    const page = this.open(url);
    page.service.connect(this.daemon.token(user));
    page.service.joinRoom(this.room);
    await until(() => page.present(this.room), `${user} is in`);
    return page;
  }
}
