/** Callbacks of one tenant and host hold up nobody else: docs/faults.md. */
import { describe, expect } from 'vitest';
import { type Service, startService } from '../harness/services/service.ts';
import { until } from '../harness/until.ts';
import { onBothBackends } from '../support/fixtures.ts';

const ANOTHER = { 'x-tenant-id': 'another' };
const HANGING = 200;

const ids = (service: Service) => new Set(service.calls.map(({ headers }) => String(headers['webhook-id'])));

describe.each(onBothBackends())('callbacks on $backend', ({ test }) => {
  test('a host that never answers delays neither the callbacks of other tenants nor those to other hosts', async ({
    api,
    db,
    service,
  }) => {
    const hanging = await startService(() => undefined);
    const elsewhere = await startService();
    try {
      await Promise.all(
        Array.from({ length: HANGING }, () =>
          api.assign({ task_type: 'test_task', callback_url: `${hanging.url}/never` }),
        ),
      );
      const ended = 'SELECT count(*)::int AS n FROM run WHERE final';
      await until(async () => (await db.query<{ n: number }>(ended)).rows[0]?.n === HANGING);
      await until(() => hanging.calls.length > 0);

      await api.assign({ task_type: 'test_task', callback_url: `${service.url}/of-another` }, ANOTHER);
      await api.assign({ task_type: 'test_task', callback_url: `${elsewhere.url}/of-the-same` });
      await until(() => service.calls.length === 1 && elsewhere.calls.length === 1);
      // Most of them have not even been tried: the two did not wait for their turn behind them.
      expect(ids(hanging).size).toBeLessThan(HANGING / 2);
      expect(hanging.calls.some(({ abandoned }) => !abandoned)).toBe(true);

      // Nothing is lost: when the host answers again it gets all of them, each under its own id.
      hanging.answer(() => ({ status: 204 }));
      await until(async () => {
        await db.query(`UPDATE delivery_circuit SET open_until = now() - interval '1 second' WHERE open_until > now()`);
        await db.query(
          `UPDATE webhook_delivery SET due_at = now() - interval '1 second' WHERE status = 'pending' AND attempts > 0`,
        );
        const { rows } = await db.query(`SELECT 1 FROM webhook_delivery WHERE status = 'pending' LIMIT 1`);
        return rows.length === 0;
      });
      expect(ids(hanging).size).toBe(HANGING);
      expect((await db.query('SELECT 1 FROM delivery_circuit')).rows).toEqual([]);
    } finally {
      await Promise.all([hanging.close(), elsewhere.close()]);
    }
  });
});
