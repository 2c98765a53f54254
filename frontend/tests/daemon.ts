/** One real `twistd chordme` on loopback, from its start to its end. */

import { type ChildProcess, spawn } from 'node:child_process';
import { createHmac, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { get } from 'node:http';
import { createServer } from 'node:net';
import path from 'node:path';

const ROOT = path.join(import.meta.dirname, '../..');
const PYTHON_BIN = path.resolve(process.env.PYTHON_BIN ?? path.join(ROOT, '.venv/bin'));
const SECRET = randomBytes(48).toString('base64url');
const TOKEN_LASTS_S = 3600;
/** A busy machine takes its time; none of this is waited for where it goes well. */
const START_WITHIN_MS = 60_000;
const STOP_WITHIN_MS = 20_000;

/** A port of 127.0.0.1 that nothing listens on. */
export async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const address = probe.address();
  probe.close();
  await once(probe, 'close');
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

/** Ask again and again until it is true, or fail; `what` is told then. */
export async function until(
  isTrue: () => unknown,
  what = String(isTrue),
  withinMs = 30_000,
): Promise<void> {
  const began = performance.now();
  while (!(await isTrue())) {
    if (performance.now() - began > withinMs) throw new Error(`not within ${withinMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

export type Settings = Readonly<Record<string, string | number>>;

/** A daemon process; its songs are in memory unless `store.url` says otherwise. */
export class Daemon {
  readonly url: string;
  private process: ChildProcess | null = null;
  private output = '';

  private constructor(
    readonly port: number,
    private readonly settings: Settings,
    private readonly flags: readonly string[],
  ) {
    this.url = `http://127.0.0.1:${port}`;
  }

  /** Start one; each setting is `section.key`, as in chordme.ini. */
  static async start(settings: Settings = {}, flags: readonly string[] = []): Promise<Daemon> {
    const daemon = new Daemon(await freePort(), settings, flags);
    await daemon.start();
    return daemon;
  }

  /** All that it has printed. */
  get log(): string {
    return this.output;
  }

  /** Start it again on the same port, after `stop` or `kill`. */
  async start(): Promise<void> {
    if (this.process !== null) throw new Error('it runs already');
    const settings = {
      'server.listen': `tcp:${this.port}:interface=127.0.0.1`,
      'server.admin': '',
      'store.url': 'memory:',
      'limits.connections': 0,
      ...this.settings,
    };
    const options = Object.entries(settings).map(([name, value]) => `--set=${name}=${value}`);
    const { PATH, HOME, LANG, TMPDIR } = process.env;
    const child = spawn(
      path.join(PYTHON_BIN, 'twistd'),
      ['--nodaemon', '--pidfile=', 'chordme', ...this.flags, ...options],
      {
        cwd: ROOT,
        env: {
          ...{ PATH, HOME, LANG, TMPDIR },
          PYTHONPATH: ROOT,
          PYTHONDONTWRITEBYTECODE: '1',
          CHORDME_AUTH_SECRET: SECRET,
        },
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    );
    this.process = child;
    const keep = (data: Buffer): void => {
      this.output += data.toString();
    };
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    const failed = new Promise<never>((_, reject) => {
      child.once('error', reject);
    });
    await Promise.race([
      failed,
      until(() => this.isUp(child), 'the daemon is up', START_WITHIN_MS).catch((error: unknown) => {
        child.kill('SIGKILL');
        throw new Error(`${String(error)}\n${this.output}`);
      }),
    ]);
  }

  /** End it in good order; its clients are told. */
  async stop(): Promise<void> {
    await this.end('SIGTERM');
  }

  /** End it as nothing should ever be ended. */
  async kill(): Promise<void> {
    await this.end('SIGKILL');
  }

  /** A token for that user, as ChordMe makes them; good for all daemons of one test file. */
  token(userId: string | number, claims: Readonly<Record<string, unknown>> = {}): string {
    const nowS = Math.floor(Date.now() / 1000);
    const exp = nowS + TOKEN_LASTS_S;
    const part = (value: object): string =>
      Buffer.from(JSON.stringify(value)).toString('base64url');
    const header = part({ alg: 'HS256', typ: 'JWT' });
    const payload = part({ user_id: userId, name: String(userId), iat: nowS, exp, ...claims });
    const signed = `${header}.${payload}`;
    return `${signed}.${createHmac('sha256', SECRET).update(signed).digest('base64url')}`;
  }

  private async isUp(child: ChildProcess): Promise<boolean> {
    if (child.exitCode !== null || child.signalCode !== null) {
      throw new Error(`the daemon did not start:\n${this.output}`);
    }
    // The `fetch` of a page in a test says aloud what fails.
    return new Promise((resolve) => {
      get(`${this.url}/api/v1/health`, (response) => {
        response.resume();
        resolve(response.statusCode === 200);
      }).on('error', () => {
        resolve(false);
      });
    });
  }

  private async end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    const child = this.process;
    this.process = null;
    if (child?.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill(signal);
    const deadline = setTimeout(() => child.kill('SIGKILL'), STOP_WITHIN_MS);
    await ended;
    clearTimeout(deadline);
  }
}
