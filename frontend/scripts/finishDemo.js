// Finishes what Vite has built of the demo: each file compressed beside itself, so that the daemon
// has nothing to compress.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { brotliCompressSync, gzipSync } from 'node:zlib';

const ASSETS = '../chordme_daemon/page/assets';

for (const name of readdirSync(ASSETS)) {
  if (!/\.(js|css)$/.test(name)) continue;
  const path = join(ASSETS, name);
  const body = readFileSync(path);
  writeFileSync(`${path}.br`, brotliCompressSync(body));
  writeFileSync(`${path}.gz`, gzipSync(body, { level: 9 }));
}
