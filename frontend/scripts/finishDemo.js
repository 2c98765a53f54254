// Finishes what Vite has built of the demo: each file compressed beside itself, so that the daemon
// has nothing to compress, and the licences of the fonts, which Vite does not count among modules.
import { appendFileSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { brotliCompressSync, gzipSync } from 'node:zlib';

const PAGE = '../chordme_daemon/page';
const FONTS = 'node_modules/@fontsource-variable';

for (const name of readdirSync(join(PAGE, 'assets'))) {
  if (!/\.(js|css)$/.test(name)) continue;
  const path = join(PAGE, 'assets', name);
  const body = readFileSync(path);
  writeFileSync(`${path}.br`, brotliCompressSync(body));
  writeFileSync(`${path}.gz`, gzipSync(body, { level: 9 }));
}

for (const name of readdirSync(FONTS)) {
  const { version, license } = JSON.parse(readFileSync(join(FONTS, name, 'package.json'), 'utf8'));
  const text = readFileSync(join(FONTS, name, 'LICENSE'), 'utf8');
  const heading = `## ${name} - ${version} (${license})`;
  appendFileSync(join(PAGE, 'licenses.md'), `\n${heading}\n\n${text}`);
}
