/** The loss of the worker whose circuit is open: what waits for it is a row, and whoever takes it up asks its own. */
import { describe, expect } from 'vitest';
import { until } from '../harness/until.ts';
import { onBothBackendsInProcesses } from '../support/processes.ts';

// The queue only carries the sleeping task, as for any other that sleeps.
const [onOne] = onBothBackendsInProcesses();

describe.each([onOne].flatMap((one) => one ?? []))(
  'the loss of a worker with an open circuit on $backend',
  ({ test }) => {
    test('a task that waits for a circuit goes on at another worker, in the same attempt', async ({
      api,
      db,
      processes,
      service,
    }) => {
      let down = true;
      service.answer(() => ({ status: down ? 503 : 200, body: { ok: true } }));
      await processes.compose('api');
      const first = await processes.start('worker');
      const breaker = { failure_threshold: 1, recovery_timeout: 3 };
      const registered = await api.post('/registry/register', { name: 'away', base_url: service.url, breaker });
      expect(registered.status).toBe(200);
      const action = {
        action_id: 'call',
        action_type: 'service_call',
        config: { service: 'away', on_circuit_open: 'wait' },
        retry: { max_attempts: 2, backoff: 'fixed', initial_delay_seconds: 0.05 },
      };
      const id = await api.execute(await api.createWorkflow({ name: 'waits', actions: [action] }));
      await until(async () => (await api.execution(id)).tasks[0]?.status === 'waiting', { what: 'it waits' });
      await until(async () => (await db.query('SELECT 1 FROM service_circuit')).rows.length === 1);
      expect((await api.get('/registry/away')).body).toMatchObject({ instances: [{ circuit: 'open' }] });

      await first.end('SIGKILL');
      down = false;
      await processes.compose('worker');
      const run = await api.finished(id);
      expect(run).toMatchObject({ status: 'completed', tasks: [{ attempts: 2, output: { response: { ok: true } } }] });
      expect(service.calls).toHaveLength(2);
      // What the dead worker has told is no circuit of anybody's.
      expect(await api.run({ name: 'other', actions: [action] })).toMatchObject({ tasks: [{ attempts: 1 }] });
    });
  },
);
