// Finishes what tsc has written to dist: the stylesheets beside their modules, and whole names in
// relative imports, which Node wants and TypeScript's bundler mode leaves out.
import { cpSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

cpSync('src', 'dist', {
  recursive: true,
  filter: (path) => !/\.[^/]*$/.test(path) || path.endsWith('.css'),
});

for (const name of readdirSync('dist', { recursive: true })) {
  if (!/\.(js|d\.ts)$/.test(name)) continue;
  const path = join('dist', name);
  const whole = readFileSync(path, 'utf8').replace(
    /((?:from|import)\s*\(?')(\.[^']*)(')/g,
    (found, before, target, after) => {
      const base = join(dirname(path), target);
      if (existsSync(`${base}.js`)) return `${before}${target}.js${after}`;
      if (existsSync(join(base, 'index.js'))) return `${before}${target}/index.js${after}`;
      return found;
    },
  );
  writeFileSync(path, whole);
}
