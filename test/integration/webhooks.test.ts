/** Webhooks through the doors: signed, at least once, with one id for every try. */
import { createHmac } from 'node:crypto';
import { describe, expect } from 'vitest';
import type { Call } from '../harness/services/service.ts';
import { until } from '../harness/until.ts';
import { expectProblem } from '../support/expect-answers.ts';
import { onBothBackends } from '../support/fixtures.ts';
import { echo, failing, workflow } from '../support/test-task.ts';

const ANOTHER = { 'x-tenant-id': 'another' };

describe.each(onBothBackends())('webhooks on $backend', ({ test }) => {
  test('events are delivered signed, failures are tried again under the same id, dead ones by hand', async ({
    api,
    db,
    service,
  }) => {
    let refusals = 1;
    service.answer(() => {
      refusals -= 1;
      return { status: refusals >= 0 ? 503 : 200 };
    });
    const events = ['run.completed', 'task.failed', 'run.failed'];
    const created = await api.post('/webhooks', { url: `${service.url}/hook`, events, description: 'mine' });
    expect(created).toMatchObject({
      status: 201,
      body: { active: true, events, secret: expect.stringMatching(/^whsec_/) },
    });
    const { webhook_id: id, secret } = created.body as { webhook_id: string; secret: string };
    expect((await api.get(`/webhooks/${id}`)).body).not.toHaveProperty('secret');

    const good = await api.execute(await api.createWorkflow(workflow([echo('a')])));
    await api.finished(good);
    await until(() => service.calls.length === 1);
    await until(async () => (await deliveriesOf()).items[0]?.['last_status'] === 503);
    // Its next time comes, sooner than it would.
    await db.query(`UPDATE webhook_delivery SET due_at = now() - interval '1 second' WHERE status = 'pending'`);
    await until(() => service.calls.length === 2);
    for (const call of service.calls) {
      expectSigned(call, secret);
      expect(call).toMatchObject({
        method: 'POST',
        path: '/hook',
        body: {
          type: 'run.completed',
          timestamp: expect.any(String),
          data: { execution_id: good, action_id: null, epoch: 1 },
        },
      });
    }
    expect(new Set(service.calls.map(({ headers }) => headers['webhook-id'])).size).toBe(1);
    await until(async () => (await deliveriesOf('delivered')).total === 1);
    expect((await deliveriesOf()).items).toMatchObject([
      { event: 'run.completed', execution_id: good, attempts: 2, last_status: 200 },
    ]);

    const bad = await api.execute(await api.createWorkflow(workflow([failing('a')])));
    await api.finished(bad);
    await until(() => service.calls.length === 4);
    expect(
      service.calls
        .slice(2)
        .map(({ body }) => (body as { type: string }).type)
        .sort(),
    ).toEqual(['run.failed', 'task.failed']);

    expect(await api.post(`/webhooks/${id}/test`)).toMatchObject({
      status: 202,
      body: { event: 'webhook.test', status: 'pending' },
    });
    await until(() => service.calls.length === 5);
    expect(service.calls[4]).toMatchObject({ body: { type: 'webhook.test', data: {} } });
    await until(async () => (await deliveriesOf('pending')).total === 0);

    const [last] = (await deliveriesOf()).items;
    await db.query(`UPDATE webhook_delivery SET status = 'dead' WHERE id = $1`, [last?.['delivery_id']]);
    expect((await deliveriesOf('dead')).total).toBe(1);
    expect(await api.post(`/webhooks/${id}/deliveries/${String(last?.['delivery_id'])}/retry`)).toMatchObject({
      status: 202,
    });
    await until(() => service.calls.length === 6);
    expect(service.calls[5]?.headers['webhook-id']).toBe(last?.['delivery_id']);

    expect(await api.put(`/webhooks/${id}`, { active: false })).toMatchObject({ status: 200, body: { active: false } });
    expectProblem(await api.post(`/webhooks/${id}/test`), 409, 'conflict');
    expectProblem(await api.get(`/webhooks/${id}`, ANOTHER), 404, 'not_found');
    expectProblem(await api.get(`/webhooks/${id}/deliveries`, ANOTHER), 404, 'not_found');
    expectProblem(
      await api.post('/webhooks', { url: 'file:///etc/passwd', events: ['nothing'] }),
      400,
      'invalid_request',
    );
    await until(async () => (await deliveriesOf('pending')).total === 0);
    expect(await api.send('DELETE', `/webhooks/${id}`)).toMatchObject({ status: 204 });
    expectProblem(await api.get(`/webhooks/${id}`), 404, 'not_found');
    expect((await api.get('/webhooks')).body).toMatchObject({ items: [], total: 0 });

    async function deliveriesOf(status?: string): Promise<{ items: Array<Record<string, unknown>>; total: number }> {
      const { body } = await api.get(`/webhooks/${id}/deliveries${status === undefined ? '' : `?status=${status}`}`);
      return body as { items: Array<Record<string, unknown>>; total: number }; // As the document says.
    }
  });
});

function expectSigned({ headers, body }: Call, secret: string): void {
  const signed = `${String(headers['webhook-id'])}.${String(headers['webhook-timestamp'])}.${JSON.stringify(body)}`;
  const key = Buffer.from(secret.slice('whsec_'.length), 'base64');
  expect(headers['webhook-signature']).toBe(`v1,${createHmac('sha256', key).update(signed).digest('base64')}`);
}
