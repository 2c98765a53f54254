import { afterEach, expect, test } from 'vitest';

import { TabName, type TabSurroundings } from '../../src/services/clientId';

const channels: BroadcastChannel[] = [];

afterEach(() => {
  for (const channel of channels.splice(0)) channel.close();
});

class Storage {
  constructor(private readonly values = new Map<string, string>()) {}

  getItem(name: string): string | null {
    return this.values.get(name) ?? null;
  }

  setItem(name: string, value: string): void {
    this.values.set(name, value);
  }

  /** As a browser does when a tab is duplicated. */
  copy(): Storage {
    return new Storage(new Map(this.values));
  }
}

/** Web Locks as they are specified, as far as exclusive locks go. */
class Locks {
  private readonly tails = new Map<string, Promise<unknown>>();

  request = ((name: string, { signal }: LockOptions, hold: () => Promise<unknown>) => {
    const before = this.tails.get(name) ?? Promise.resolve();
    const aborted = new Promise<never>((_, reject) => {
      signal?.addEventListener('abort', () => {
        reject(new DOMException('aborted', 'AbortError'));
      });
    });
    const granted = Promise.race([before, aborted]).then(() => hold());
    this.tails.set(
      name,
      before.then(() => granted).catch(() => undefined),
    );
    return granted;
  }) as LockManager['request'];
}

const openChannel = (name: string): BroadcastChannel => {
  const channel = new BroadcastChannel(name);
  channels.push(channel);
  return channel;
};

const alone: TabSurroundings = { storage: null, locks: null, openChannel: null };

test('a refresh keeps the name, and it is one that the daemon takes', async () => {
  const storage = new Storage();
  const first = await new TabName({ ...alone, storage }).claim();
  expect(first).toMatch(/^[0-9a-z-]{20,64}$/);
  expect(await new TabName({ ...alone, storage }).claim()).toBe(first);
});

test('with locks, a duplicated tab has a name of its own, and keeps that', async () => {
  const storage = new Storage();
  const locks = new Locks();
  const first = await new TabName({ ...alone, storage, locks }).claim();
  const copied = storage.copy();
  const second = new TabName({ ...alone, storage: copied, locks });
  expect(second.clientId).toBe(first);
  expect(await second.claim()).not.toBe(first);
  expect(copied.getItem('chordme.client_id')).toBe(second.clientId);
});

test('without locks, a tab that has the name says so', async () => {
  const storage = new Storage();
  const tab = { locks: null, openChannel };
  const first = await new TabName({ ...tab, storage }).claim();
  expect(await new TabName({ ...tab, storage: storage.copy() }).claim()).not.toBe(first);
});

test('of two that come back at once with one name, one keeps it', async () => {
  const storage = new Storage();
  storage.setItem('chordme.client_id', 'the-same');
  const tabs = [storage, storage.copy()].map(
    (own) => new TabName({ storage: own, locks: null, openChannel }),
  );
  const names = await Promise.all(tabs.map((tab) => tab.claim()));
  expect(names.filter((name) => name === 'the-same')).toHaveLength(1);
});

test('storage that is full, forbidden, or has nonsense in it, is survived', async () => {
  const full: TabSurroundings['storage'] = {
    getItem: () => 'No Name!',
    setItem: () => {
      throw new DOMException('full', 'QuotaExceededError');
    },
  };
  const forbidden: TabSurroundings['storage'] = {
    getItem: () => {
      throw new DOMException('forbidden', 'SecurityError');
    },
    setItem: () => undefined,
  };
  for (const storage of [full, forbidden]) {
    const tab = new TabName({ ...alone, storage });
    expect(await tab.claim()).toMatch(/^[0-9a-z-]{20,64}$/);
    expect(await tab.claim()).toBe(tab.clientId);
  }
});
