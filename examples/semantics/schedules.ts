/** A workflow that runs by itself every second, until its schedule is paused; and once more by hand. */
import { z } from 'zod';
import { created, type Example, executionWhen } from './example.ts';

const DEFINITION = { name: 'heartbeat', actions: [{ action_id: 'beat', action_type: 'test_task', config: { n: 1 } }] };
const PATIENCE_MS = 60_000;

const schedule = z.looseObject({
  schedule_id: z.string(),
  next_runs: z.array(z.string()),
  recent: z.array(z.looseObject({ kind: z.string(), status: z.string(), execution_id: z.string().nullable() })),
});

export const schedules: Example = {
  name: 'schedules',
  async run(api, say) {
    const { workflow_id } = await api.post('/workflows', DEFINITION, created);
    const name = `heartbeat of ${workflow_id}`;
    const { schedule_id: id } = await api.post('/schedules', { name, workflow_id, interval_seconds: 1 }, schedule);
    const deadline = performance.now() + PATIENCE_MS;
    for (;;) {
      const { recent, next_runs } = await api.get(`/schedules/${id}`, schedule);
      const begun = recent.flatMap(({ status, execution_id }) => (status === 'started' ? (execution_id ?? []) : []));
      if (begun.length < 2 && performance.now() < deadline) {
        await new Promise((resolve) => setTimeout(resolve, 200));
        continue;
      }
      await api.post(`/schedules/${id}/pause`, {}, z.unknown());
      await api.post(`/schedules/${id}/trigger`, {}, z.unknown());
      const ended = await Promise.all(begun.map((run) => executionWhen(api, run)));
      say(`${begun.length} executions: ${ended.map(({ status }) => status).join(', ')}; then ${next_runs[0]}`);
      const after = await api.get(`/schedules/${id}`, schedule);
      return (
        begun.length >= 2 &&
        ended.every(({ status }) => status === 'completed') &&
        after.next_runs.length === 0 &&
        after.recent.some(({ kind }) => kind === 'trigger')
      );
    }
  },
};
