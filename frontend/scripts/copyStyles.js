// Puts the stylesheets beside the modules that tsc has written.
import { cpSync } from 'node:fs';

cpSync('src', 'dist', {
  recursive: true,
  filter: (path) => !/\.[^/]*$/.test(path) || path.endsWith('.css'),
});
