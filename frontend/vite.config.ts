import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

/** The demo, built into the Python package: the daemon has it at `/`, and the rest in `/demo/`. */
export default defineConfig({
  root: 'demo',
  base: '/demo/',
  html: { cspNonce: '{nonce}' },
  build: {
    outDir: '../../chordme_daemon/page',
    emptyOutDir: true,
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 700,
    reportCompressedSize: false,
    license: { fileName: 'licenses.md' },
  },
  plugins: [react()],
});
