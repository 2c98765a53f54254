/** Google's own emulator of Firestore, on loopback. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';

import { deleteApp, initializeApp, type FirebaseApp } from 'firebase/app';
import { connectFirestoreEmulator, getFirestore, terminate } from 'firebase/firestore';

import { openFirestore } from '../../src/realtime/firestore';
import type { SongStore } from '../../src/realtime/store';
import { freePort, until } from '../daemon';

export const JAR =
  process.env.FIRESTORE_EMULATOR_JAR ??
  '/usr/lib/google-cloud-sdk/platform/cloud-firestore-emulator/cloud-firestore-emulator.jar';
const MAIN = 'com.google.cloud.datastore.emulator.firestore.CloudFirestore';

export class Emulator {
  private readonly apps: FirebaseApp[] = [];

  private constructor(
    private readonly port: number,
    private readonly process: ChildProcess,
  ) {}

  static async start(): Promise<Emulator> {
    const port = await freePort();
    const options = ['-cp', JAR, MAIN, '--host=127.0.0.1', `--port=${port}`];
    const child = spawn('java', options, { stdio: 'ignore' });
    await until(
      async () => {
        if (child.exitCode !== null) throw new Error('The Firestore emulator does not start');
        return fetch(`http://127.0.0.1:${port}`).then(
          (response) => response.ok,
          () => false,
        );
      },
      'the emulator is up',
      30_000,
    );
    return new Emulator(port, child);
  }

  /** A page's own connection to it. */
  open(): SongStore {
    const app = initializeApp({ projectId: 'chordme' }, `page-${this.apps.length}`);
    this.apps.push(app);
    const firestore = getFirestore(app);
    connectFirestoreEmulator(firestore, '127.0.0.1', this.port);
    return openFirestore({ firestore });
  }

  async stop(): Promise<void> {
    for (const app of this.apps) {
      await terminate(getFirestore(app));
      await deleteApp(app);
    }
    const ended = once(this.process, 'exit');
    this.process.kill('SIGKILL');
    await ended;
  }
}
