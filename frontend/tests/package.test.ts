/** The package as npm packs it: what a fresh project, and Node, make of it. */

import { execFileSync, spawnSync } from 'node:child_process';
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';

import { build, type Rolldown } from 'vite';
import { afterAll, beforeAll, expect, test } from 'vitest';

const MAX_SERVICE_BYTES = 25 * 1024;
const ROOT = dirname(import.meta.dirname);

const PAGE = `
import { webSocketService } from 'chordme-realtime';
import { songDocument } from 'chordme-realtime/codemirror';
import { useWebSocket } from 'chordme-realtime/hooks';
import ConnectionStatusIndicator from 'chordme-realtime/indicator';
import { bindTextarea } from 'chordme-realtime/textarea';
import 'chordme-realtime/indicator.css';
Object.assign(window, {
  all: { webSocketService, songDocument, useWebSocket, ConnectionStatusIndicator, bindTextarea },
});
`;

/** What an example takes for granted of the application that it is pasted into. */
const APPLICATION = `
import type { CollaborationOperation, FirestoreOptions, Operation, Token } from 'chordme-realtime';
import type { ReactElement } from 'react';
declare global {
  const songId: string;
  const token: string;
  const song: import('chordme-realtime').Song;
  const firebaseConfig: NonNullable<FirestoreOptions['config']>;
  function freshToken(): Promise<string>;
  function show(text: string, operation: Operation, origin: string): void;
  function applyOperation(operation: CollaborationOperation): void;
  function OwnEditor(props: {
    onInsert: (position: number, content: string) => void;
  }): ReactElement;
}
`;
const COMPILER = {
  ...{ target: 'ES2020', module: 'ESNext', moduleResolution: 'bundler', jsx: 'react-jsx' },
  ...{ strict: true, noEmit: true, types: [], lib: ['ES2022', 'DOM'], skipLibCheck: true },
};

let project = '';

beforeAll(() => {
  project = mkdtempSync(join(tmpdir(), 'chordme-package-'));
  const copy = join(project, 'copy');
  mkdirSync(copy);
  for (const name of [
    'src',
    'scripts',
    'package.json',
    'tsconfig.json',
    'tsconfig.build.json',
    'README.md',
  ]) {
    cpSync(join(ROOT, name), join(copy, name), { recursive: true });
  }
  symlinkSync(join(ROOT, 'node_modules'), join(copy, 'node_modules'));
  const run = (program: string, ...args: string[]) =>
    execFileSync(program, args, { cwd: copy, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  run('npm', 'run', '--silent', 'build');
  const packed = run('npm', 'pack', '--silent').trim();
  // A fresh project has it from the archive, and the rest as npm would install it.
  mkdirSync(join(project, 'node_modules'));
  execFileSync('tar', ['-xzf', join(copy, packed), '-C', join(project, 'node_modules')]);
  cpSync(join(project, 'node_modules/package'), join(project, 'node_modules/chordme-realtime'), {
    recursive: true,
  });
  for (const name of [
    'socket.io-client',
    'react',
    'react-dom',
    '@types',
    '@codemirror',
    '@lezer',
  ]) {
    symlinkSync(join(ROOT, 'node_modules', name), join(project, 'node_modules', name));
  }
  writeFileSync(join(project, 'package.json'), '{ "type": "module" }');
  writeFileSync(join(project, 'index.html'), '<script type="module" src="/page.js"></script>');
  writeFileSync(join(project, 'page.js'), PAGE);
  writeFileSync(join(project, 'service.js'), "export * from 'chordme-realtime';");
});

afterAll(() => {
  rmSync(project, { recursive: true, force: true });
});

/** Builds something of the project, and tells what came of it. */
async function built(input: string, external: string[]): Promise<Rolldown.OutputChunk[]> {
  const result = await build({
    root: project,
    logLevel: 'error',
    build: {
      write: false,
      rolldownOptions: { input: join(project, input), external, preserveEntrySignatures: 'strict' },
    },
  });
  const { output } = result as Rolldown.RolldownOutput;
  return output.filter((part) => part.type === 'chunk');
}

test('a fresh Vite project imports every entrance', async () => {
  const chunks = await built('index.html', ['firebase/app', 'firebase/firestore']);
  const code = chunks.map((chunk) => chunk.code).join('');
  expect(code).toContain('collaboration_operation');
  expect(code).toContain('role');
});

test('Node imports it, and connects to nothing by that', () => {
  const program = "import('chordme-realtime').then((all) => console.log(typeof all.openSong))";
  const said = execFileSync('node', ['--input-type=module', '-e', program], {
    cwd: project,
    encoding: 'utf8',
  });
  expect(said.trim()).toBe('function');
});

test('its types are there', () => {
  const types = readFileSync(
    join(project, 'node_modules/chordme-realtime/dist/index.d.ts'),
    'utf8',
  );
  expect(types).toContain('./services/webSocketService.js');
});

test('the examples of its README are right as they are pasted', () => {
  const readme = readFileSync(join(project, 'node_modules/chordme-realtime/README.md'), 'utf8');
  const examples = Array.from(readme.matchAll(/^```(tsx?)\n(.*?)^```$/gms));
  expect(examples.length).toBeGreaterThanOrEqual(7);
  const folder = join(project, 'examples');
  mkdirSync(folder);
  for (const [index, [, kind, code]] of examples.entries()) {
    writeFileSync(join(folder, `example-${index + 1}.${kind}`), code ?? '');
  }
  writeFileSync(join(folder, 'application.d.ts'), APPLICATION);
  writeFileSync(join(folder, 'styles.d.ts'), "declare module '*.css';");
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions: COMPILER }));
  const { status, stdout } = spawnSync(join(ROOT, 'node_modules/.bin/tsc'), ['-p', folder], {
    encoding: 'utf8',
  });
  expect({ status, stdout }).toEqual({ status: 0, stdout: '' });
});

test('the service is small, besides socket.io-client', async () => {
  const chunks = await built('service.js', [
    'socket.io-client',
    'firebase/app',
    'firebase/firestore',
  ]);
  const entries = chunks.filter((chunk) => chunk.isEntry || !chunk.isDynamicEntry);
  const bytes = entries.reduce((sum, chunk) => sum + gzipSync(chunk.code).length, 0);
  expect(bytes).toBeLessThan(MAX_SERVICE_BYTES);
  console.info(`service: ${(bytes / 1024).toFixed(1)} KiB gzipped`);
});
