import { defineConfig } from 'vitest/config';

/** Tests below test/unit and test/property need no servers; the others get a PostgreSQL and a Redis, started once. */
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'pure',
          include: ['test/unit/**/*.test.ts', 'test/property/**/*.test.ts'],
          testTimeout: 15_000,
        },
      },
      {
        test: {
          name: 'servers',
          include: ['test/integration/**/*.test.ts', 'test/faults/**/*.test.ts', 'test/examples/**/*.test.ts'],
          globalSetup: ['test/support/global-setup.ts'],
          testTimeout: 60_000,
          hookTimeout: 60_000,
          // Each file starts an API and workers of its own: more at a time only makes all of them slow.
          maxWorkers: 2,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
