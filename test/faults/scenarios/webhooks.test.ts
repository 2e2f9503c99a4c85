/** A worker that dies between the call of a webhook and its mark. */
import { describe, expect } from 'vitest';
import { until } from '../../harness/until.ts';
import { onBothBackendsInProcesses } from '../../support/processes.ts';
import { hasEnded, ONE_AT_A_TIME } from '../../support/scenario.ts';
import { echo, workflow } from '../../support/test-task.ts';

describe.each(onBothBackendsInProcesses())('a webhook and a worker on $backend', ({ test }) => {
  test('a worker that is killed after the call has it made again by another, under the same id', async ({
    api,
    db,
    processes,
    service,
  }) => {
    await processes.compose('api');
    const { body } = await api.post('/webhooks', { url: `${service.url}/hook`, events: ['run.completed'] });
    const { webhook_id: id } = body as { webhook_id: string };
    const first = await processes.start('worker', { ...ONE_AT_A_TIME, FAILPOINTS: 'webhook.afterCall:exit' });
    await api.finished(await api.execute(await api.createWorkflow(workflow([echo('a')]))));
    await hasEnded(first);
    expect(service.calls).toHaveLength(1);
    await processes.compose('worker', ONE_AT_A_TIME);
    // Its lease is over, sooner than it would be.
    await db.query(`UPDATE webhook_delivery SET due_at = now() - interval '1 second'`);
    await until(() => service.calls.length === 2);
    expect(service.calls[1]?.headers['webhook-id']).toBe(service.calls[0]?.headers['webhook-id']);
    expect(service.calls[1]?.body).toEqual(service.calls[0]?.body);
    await until(async () => {
      const found = await api.get(`/webhooks/${id}/deliveries?status=delivered`);
      return (found.body as { total: number }).total === 1;
    });
  });
});
