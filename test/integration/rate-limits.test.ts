import { describe, expect } from 'vitest';
import { onBothBackends } from '../support/fixtures.ts';

const PER_MS = 1_000;
const MAX = 3;

describe.each(onBothBackends({ workers: 2, environment: { LANE_RATE_LIMITS: `test_task=${MAX}/${PER_MS / 1_000}s` } }))(
  'the limit of a lane on $backend',
  ({ test }) => {
    test('holds for all workers together, and other lanes are not held up', async ({ api, db }) => {
      const ids: string[] = [];
      for (let n = 0; n < 3 * MAX; n += 1) ids.push(await api.assign({ task_type: 'test_task', params: {} }));
      const other = await api.assign({ task_type: 'wait', params: { seconds: 0.01 } });
      await api.ended(other);
      for (const id of ids) expect((await api.ended(id)).status).toBe('completed');
      const { rows } = await db.query<{ begun: Date }>(
        `SELECT started_at AS begun FROM task WHERE run_id = ANY($1) ORDER BY started_at`,
        [ids],
      );
      const begun = rows.map((row) => row.begun.getTime());
      expect(begun).toHaveLength(ids.length);
      // Windows follow each other: twice the limit may meet where one ends, and never more within the time of one.
      for (const [n, at] of begun.entries()) {
        const next = begun[n + 2 * MAX];
        if (next !== undefined) expect(next - at).toBeGreaterThan(PER_MS / 2);
      }
    });
  },
);
