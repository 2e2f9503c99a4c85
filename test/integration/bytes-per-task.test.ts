/** What a task leaves behind in the stores is bounded: docs/scale.md counts on it. */
import { expect, test } from 'vitest';
import { measureBytes, reportOfBytes } from '../../bench/bytes.ts';
import { startServers } from '../../bench/servers.ts';

const TASKS = 1_000;

test('a task takes a few kilobytes in PostgreSQL and its log, and a queued run as much in Redis', async ({
  annotate,
}) => {
  const servers = await startServers();
  try {
    const bytes = await measureBytes(servers, TASKS, () => undefined);
    void annotate(reportOfBytes(bytes));
    for (const { title, heap, indexes, wal } of bytes.perTask) {
      expect(heap, title).toBeGreaterThan(200);
      expect(heap + indexes, title).toBeLessThan(8_000);
      expect(wal, title).toBeGreaterThan(500);
      expect(wal, title).toBeLessThan(20_000);
    }
    expect(bytes.redisPerQueuedRun).toBeGreaterThan(100);
    expect(bytes.redisPerQueuedRun).toBeLessThan(4_000);
  } finally {
    await servers.stop();
  }
});
