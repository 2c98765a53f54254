/**
 * This tab's name for the daemon: the same after a refresh, and no other tab's.
 *
 * It lives in sessionStorage, which a browser copies when a tab is duplicated. Two tabs of one name
 * would throw each other out, so a name that was found is asked after: by a Web Lock that its tab
 * holds, or where there are none, by a BroadcastChannel on which its tab answers.
 */

const KEY = 'chordme.client_id';
const VALID = /^[0-9a-z-]{1,64}$/;
/** A page that is being refreshed lets go of its lock a moment after its successor has begun. */
const LOCK_WITHIN_MS = 400;
const ANSWER_WITHIN_MS = 150;

export interface TabSurroundings {
  readonly storage: Pick<Storage, 'getItem' | 'setItem'> | null;
  readonly locks: Pick<LockManager, 'request'> | null;
  readonly openChannel: ((name: string) => BroadcastChannel) | null;
}

/** What there is of it here; browsers may forbid any of it. */
export function tabSurroundings(): TabSurroundings {
  const attempt = <Value>(get: () => Value | undefined): Value | null => {
    try {
      return get() ?? null;
    } catch {
      return null;
    }
  };
  // A worker or a server has none of it, whatever the types say.
  const here: Partial<typeof globalThis> = globalThis;
  return {
    storage: attempt(() => here.sessionStorage),
    locks: attempt(() => here.navigator?.locks),
    openChannel:
      typeof BroadcastChannel === 'function' ? (name) => new BroadcastChannel(name) : null,
  };
}

/** A name that nobody else has. */
export function randomClientId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(15));
  return Array.from(bytes, (byte) => byte.toString(36).padStart(2, '0')).join('');
}

/** The name of this tab. */
export class TabName {
  private current: string;
  private readonly wasFound: boolean;
  private claimed: Promise<string> | null = null;

  constructor(private readonly tab: TabSurroundings = tabSurroundings()) {
    const found = read(tab.storage);
    this.wasFound = found !== null;
    this.current = found ?? randomClientId();
  }

  /** As far as it is known: that of a duplicated tab is another one once it is claimed. */
  get clientId(): string {
    return this.current;
  }

  /** Take it, and keep it from others until the page is gone. */
  claim(): Promise<string> {
    this.claimed ??= this.take();
    return this.claimed;
  }

  private async take(): Promise<string> {
    const { tab } = this;
    if (this.wasFound) {
      if (await claim(this.current, tab)) return this.current;
      this.current = randomClientId();
    }
    // Nobody can have it: it is kept for when this tab is duplicated.
    if (tab.locks !== null) void lock(this.current, tab.locks);
    else if (tab.openChannel !== null) answerOn(tab.openChannel, this.current);
    try {
      tab.storage?.setItem(KEY, this.current);
    } catch {
      // Full or forbidden: a refresh will be a newcomer.
    }
    return this.current;
  }
}

function read(storage: TabSurroundings['storage']): string | null {
  try {
    const value = storage?.getItem(KEY) ?? null;
    return value !== null && VALID.test(value) ? value : null;
  } catch {
    return null;
  }
}

async function claim(clientId: string, tab: TabSurroundings): Promise<boolean> {
  if (tab.locks !== null) return lock(clientId, tab.locks);
  if (tab.openChannel === null) return true;
  if (await isAnswered(tab.openChannel, clientId)) return false;
  answerOn(tab.openChannel, clientId);
  return true;
}

/** Whether the lock of a name came in time; it is then held until the page is gone. */
function lock(clientId: string, locks: Pick<LockManager, 'request'>): Promise<boolean> {
  return new Promise((resolve) => {
    const patience = new AbortController();
    const timer = setTimeout(() => {
      patience.abort();
    }, LOCK_WITHIN_MS);
    const held = locks.request(`${KEY}.${clientId}`, { signal: patience.signal }, () => {
      clearTimeout(timer);
      resolve(true);
      return new Promise<never>(() => undefined);
    });
    held.catch((error: unknown) => {
      clearTimeout(timer);
      // Whatever else goes wrong with locks, they say nothing of another tab.
      resolve((error as Partial<Error> | null)?.name !== 'AbortError');
    });
  });
}

interface Word {
  readonly about: string;
  readonly from: string;
  readonly isTaken?: true;
}

async function isAnswered(
  openChannel: (name: string) => BroadcastChannel,
  clientId: string,
): Promise<boolean> {
  const channel = openChannel(KEY);
  const self = randomClientId();
  const answered = await new Promise<boolean>((resolve) => {
    const timer = setTimeout(() => {
      resolve(false);
    }, ANSWER_WITHIN_MS);
    channel.onmessage = ({ data }: MessageEvent<Partial<Word> | null>) => {
      if (data?.about !== clientId || data.from === self) return;
      if (data.isTaken !== true && (data.from ?? '') > self) {
        // Of two that ask at once, the one of the smaller name may have it.
        channel.postMessage({ about: clientId, from: self, isTaken: true } satisfies Word);
        return;
      }
      clearTimeout(timer);
      resolve(true);
    };
    channel.postMessage({ about: clientId, from: self } satisfies Word);
  });
  channel.close();
  return answered;
}

function answerOn(openChannel: (name: string) => BroadcastChannel, clientId: string): void {
  const channel = openChannel(KEY);
  channel.onmessage = ({ data }: MessageEvent<Partial<Word> | null>) => {
    if (data?.about === clientId && data.isTaken !== true) {
      channel.postMessage({ about: clientId, from: '', isTaken: true } satisfies Word);
    }
  };
  // Node would wait for it.
  (channel as { unref?: () => void }).unref?.();
}
