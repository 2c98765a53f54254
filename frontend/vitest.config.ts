import { defineConfig } from 'vitest/config';

export default defineConfig({
  // Deadlines for what hangs: on a busy machine a daemon may take half a minute to start.
  test: { include: ['tests/**/*.test.{ts,tsx}'], testTimeout: 180_000, hookTimeout: 180_000 },
});
