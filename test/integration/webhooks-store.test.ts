/** What the database owes to webhooks: by events in the same transaction, taken once, given up at the end. */
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { createKeyring } from '../../src/engine/keyring.ts';
import { secretContext } from '../../src/engine/ports/secrets.ts';
import { createCallSpanStore } from '../../src/features/tracing/call-store.ts';
import { createWebhookDeliveryStore } from '../../src/features/webhooks/delivery-store.ts';
import { createWebhookStore } from '../../src/features/webhooks/store.ts';
import { rotateSecrets } from '../../src/store/payloads/rotate-secrets.ts';
import { until } from '../harness/until.ts';
import { type FenceDatabase, openFenceDatabase } from '../support/fence-database.ts';

let db: FenceDatabase;
beforeAll(async () => {
  db = await openFenceDatabase();
});
afterAll(() => db.close());
beforeEach(async () => {
  await db.pool.query(
    'DELETE FROM webhook_delivery; DELETE FROM delivery_circuit; DELETE FROM webhook; DELETE FROM secret',
  );
});

const stores = () => ({
  webhooks: createWebhookStore(db, undefined),
  deliveries: createWebhookDeliveryStore(db.pool, undefined),
});
const LEASE_MS = 20_000;
const SOON = { status: 500, error: 'answered 500', gone: false, unavailable: false };
const KEPT = { delivered: 7, dead: 30, callback: 4 };
const room = (perLane: number, busy: Record<string, number> = {}, perTenant = 1_000) => {
  return { perLane, perTenant, lanes: new Map(Object.entries(busy)), tenants: new Map<string, number>() };
};

async function listening(id: string, events: string[], more: { tenantId?: string; active?: boolean } = {}) {
  expect(await create(id, events, 50, more)).toBe(true);
}
function create(id: string, events: string[], limit: number, more: { tenantId?: string; active?: boolean } = {}) {
  const webhook = { id, tenantId: 't', url: 'http://x.test/', events, description: null, active: true };
  const row = { ...webhook, secret: `secret of ${id}`, disabledReason: null, failingSince: null, createdBy: 'u' };
  return stores().webhooks.create({ ...row, ...more }, limit);
}
const owed = async () =>
  (await db.rows<{ told: string }>(`SELECT webhook_id || ' ' || kind AS told FROM webhook_delivery ORDER BY 1`)).map(
    ({ told }) => told,
  );

test('each event is owed to every active webhook of its tenant that listens to it, and to nobody else', async () => {
  await listening('all', ['*']);
  await listening('runs', ['run.*']);
  await listening('failures', ['task.failed', 'run.failed']);
  await listening('asleep', ['*'], { active: false });
  await listening('foreign', ['*'], { tenantId: 'another' });
  const runId = await db.accepted();
  await db.commit({ runId, status: 'failed', endsRun: true });
  expect(await owed()).toEqual([
    'all run.failed',
    'all task.failed',
    'failures run.failed',
    'failures task.failed',
    'runs run.failed',
  ]);
});

test('an event that is rolled back is owed to nobody; without a webhook nothing is written', async () => {
  const runId = await db.accepted();
  await db.commit({ runId });
  expect(await owed()).toEqual([]);
  await listening('all', ['*']);
  const client = await db.pool.connect();
  await client.query('BEGIN');
  await client.query(`INSERT INTO event (run_id, epoch, kind) VALUES ($1, 1, 'run.completed')`, [runId]);
  await client.query('ROLLBACK');
  client.release();
  expect(await owed()).toEqual([]);
});

test('a delivery is taken by one, is not heard of again until its lease is over, and keeps its id', async () => {
  await listening('w', ['task.*']);
  const { deliveries } = stores();
  const runs = await Promise.all(Array.from({ length: 20 }, () => db.accepted()));
  await Promise.all(runs.map((runId) => db.commit({ runId })));
  const taken = await Promise.all(Array.from({ length: 8 }, () => deliveries.takeDue(room(5), LEASE_MS)));
  const ids = taken.flat().map(({ id }) => id);
  expect([ids.length, new Set(ids).size]).toEqual([20, 20]);
  expect(taken.flat()[0]).toMatchObject({
    url: 'http://x.test/',
    secrets: ['secret of w'],
    attempts: 1,
    kind: 'task.completed',
  });
  expect(await deliveries.takeDue(room(100), LEASE_MS)).toEqual([]);
  // The worker that had them is gone.
  await db.pool.query(`UPDATE webhook_delivery SET due_at = now() - interval '1 second'`);
  expect(await deliveries.takeDue(room(100, { w: 100 }), LEASE_MS)).toEqual([]);
  const again = await deliveries.takeDue(room(100), LEASE_MS);
  expect(again.map(({ id }) => id).sort()).toEqual([...ids].sort());
  // What the first one says now comes too late.
  const [late] = taken.flat();
  if (late !== undefined) await deliveries.failed(late, SOON, undefined, 60);
  expect(await db.rows(`SELECT 1 FROM webhook_delivery WHERE status <> 'pending'`)).toEqual([]);
});

test('what fails is tried later, is dead at the end, and can be tried by hand', async () => {
  await listening('w', ['task.*']);
  const { webhooks, deliveries } = stores();
  await db.commit({ runId: await db.accepted() });
  // Times are kept in whole milliseconds, so what is due now may be so a moment later.
  const take = () => until(async () => (await deliveries.takeDue(room(10), LEASE_MS))[0]);
  const first = await take();
  expect(await deliveries.failed(first, SOON, 60, 3_600)).toBe(false);
  expect(await deliveries.takeDue(room(10), LEASE_MS)).toEqual([]);
  expect(await webhooks.find('t', 'w')).toMatchObject({ active: true, failingSince: expect.any(Date) });
  await db.pool.query("UPDATE webhook_delivery SET due_at = now() - interval '1 second'");
  const second = await take();
  expect(second).toMatchObject({ id: first.id, attempts: 2 });
  await deliveries.failed(second, SOON, undefined, 3_600);
  const dead = { status: 'dead' as const, page: 1, pageSize: 10 };
  expect(await webhooks.deliveries('w', dead)).toMatchObject({ total: 1, items: [{ lastStatus: 500, attempts: 2 }] });
  expect(await webhooks.again('w', first.id)).toMatchObject({ status: 'pending', attempts: 0 });
  expect(await webhooks.again('another', first.id)).toBeUndefined();
  await deliveries.delivered(await take(), 204);
  expect(await webhooks.find('t', 'w')).toMatchObject({ failingSince: null });
  expect(await deliveries.removeOld(KEPT, 10)).toBe(0);
  await db.pool.query(`UPDATE webhook_delivery SET ended_at = now() - interval '8 days'`);
  expect(await deliveries.removeOld(KEPT, 10)).toBe(1);
});

test('a webhook that has failed for too long, or says that it is gone, is not active any more; it may be made so again', async () => {
  const { webhooks, deliveries } = stores();
  for (const [id, gone] of [
    ['tired', false],
    ['gone', true],
  ] as const) {
    await listening(id, ['*']);
    if (!gone) await db.pool.query(`UPDATE webhook SET failing_since = now() - interval '2 hours' WHERE id = $1`, [id]);
    await db.commit({ runId: await db.accepted() });
    const due = (await deliveries.takeDue(room(10), LEASE_MS)).find(({ webhookId }) => webhookId === id);
    if (due === undefined) throw new Error('nothing was due');
    expect(await deliveries.failed(due, { ...SOON, gone }, 5, 3_600)).toBe(true);
    expect(await webhooks.find('t', id)).toMatchObject({ active: false, disabledReason: 'answered 500' });
    await db.pool.query("UPDATE webhook_delivery SET due_at = now() - interval '1 second'");
    expect(await deliveries.takeDue(room(10), LEASE_MS)).toEqual([]);
    expect(await webhooks.change('t', id, { active: true })).toMatchObject({
      disabledReason: null,
      failingSince: null,
    });
    expect(await deliveries.takeDue(room(10), LEASE_MS)).toMatchObject([{ id: due.id }]);
    await webhooks.remove('t', id);
  }
});

test('a changed secret signs with the one before for a while; other tenants cannot touch it; what is deleted is owed nothing', async () => {
  const { webhooks, deliveries } = stores();
  await listening('w', ['*']);
  expect(await webhooks.change('another', 'w', { url: 'http://evil.test/' })).toBeUndefined();
  expect(await webhooks.remove('another', 'w')).toBe(false);
  await webhooks.change('t', 'w', { secret: { value: 'the new one', previousSeconds: 60 }, description: 'mine' });
  await db.commit({ runId: await db.accepted() });
  const [due] = await deliveries.takeDue(room(10), LEASE_MS);
  expect(due?.secrets).toEqual(['the new one', 'secret of w']);
  await db.pool.query(
    `UPDATE webhook SET previous_secret_until = now() - interval '1 second'; UPDATE webhook_delivery SET due_at = now() - interval '1 second'`,
  );
  expect((await deliveries.takeDue(room(10), LEASE_MS))[0]?.secrets).toEqual(['the new one']);
  expect(await webhooks.remove('t', 'w')).toBe(true);
  expect(await owed()).toEqual([]);
  await listening('x', ['*']);
  expect(await create('y', ['*'], 1)).toBe(false);
});

/** Runs that have ended and owe a callback to this host. */
async function owing(host: string, count: number, tenantId = 't'): Promise<string[]> {
  const runs = await Promise.all(Array.from({ length: count }, () => db.accepted()));
  await db.pool.query('UPDATE run SET callback_url = $2, tenant_id = $3 WHERE id = ANY ($1)', [
    ...[runs, `https://user:word@${host}/told?of=it`],
    tenantId,
  ]);
  for (const runId of runs) await db.commit({ runId, endsRun: true });
  return runs;
}

test('a callback is owed with the end of its run, in a lane of its tenant and host', async () => {
  const { deliveries } = stores();
  const [mine] = await owing('Here.Test:8443', 1);
  await owing('there.test', 1, 'another');
  const due = await deliveries.takeDue(room(10), LEASE_MS);
  expect(due.map(({ lane, host }) => [lane, host]).sort()).toEqual([
    ['another there.test', 'there.test'],
    ['t here.test:8443', 'here.test:8443'],
  ]);
  const [first] = due.filter(({ tenantId }) => tenantId === 't');
  expect(first).toMatchObject({
    id: `${String(mine)}.1`,
    webhookId: null,
    url: expect.stringContaining('/told?of=it'),
  });
  expect(await deliveries.endOf({ runId: mine ?? '', epoch: 1 })).toMatchObject({ status: 'completed' });
  // Started again, it tells its next end.
  expect(await deliveries.endOf({ runId: mine ?? '', epoch: 2 })).toBeUndefined();
});

test('no lane takes what another one needs, and no tenant more than it may', async () => {
  const { deliveries } = stores();
  await owing('slow.test', 10);
  await owing('quick.test', 2);
  await owing('slow.test', 2, 'another');
  const lanes = async (...args: Parameters<typeof room>) => {
    const due = await deliveries.takeDue(room(...args), LEASE_MS);
    return due.map(({ lane }) => lane).sort();
  };
  expect(await lanes(5, { 't slow.test': 4 }, 3)).toEqual([
    ...['another slow.test', 'another slow.test', 't quick.test', 't quick.test'],
    't slow.test',
  ]);
  expect(await lanes(5, {}, 3)).toEqual(['t slow.test', 't slow.test', 't slow.test']);
});

test('a host that does not answer several times in a row is left alone by its tenant, tried with one, and forgiven', async () => {
  const { deliveries } = stores();
  const down = { status: null, error: 'took longer than 10000 ms', gone: false, unavailable: true };
  await owing('down.test', 12);
  await owing('down.test', 1, 'another');
  const ofT = async () => (await deliveries.takeDue(room(6), LEASE_MS)).filter(({ tenantId }) => tenantId === 't');
  const first = await ofT();
  expect(first).toHaveLength(6);
  for (const one of first.slice(0, 4)) await deliveries.failed(one, down, 60, 60);
  // What was answered, however badly, is no sign that nobody is there; only those in a row count.
  expect(await db.rows('SELECT failures, open_until FROM delivery_circuit')).toEqual([
    { failures: 4, open_until: null },
  ]);
  for (const one of first.slice(4)) await deliveries.failed(one, down, 60, 60);
  // The sixth was under way already, and does not make it longer.
  expect(await db.rows('SELECT tenant_id, host, failures FROM delivery_circuit WHERE open_until > now()')).toEqual([
    { tenant_id: 't', host: 'down.test', failures: 5 },
  ]);
  expect(await ofT()).toEqual([]);
  await db.pool.query(`UPDATE delivery_circuit SET open_until = now() - interval '1 second'`);
  const [probe, ...others] = await ofT();
  expect(others).toEqual([]);
  if (probe === undefined) throw new Error('nothing was tried');
  expect((await deliveries.takeDue(room(6, { 't down.test': 1 }), LEASE_MS)).length).toBe(0);
  await deliveries.failed(probe, down, 60, 60);
  const longer = `SELECT failures, open_until > now() + interval '8 seconds' AS longer FROM delivery_circuit`;
  expect(await db.rows(longer)).toEqual([{ failures: 6, longer: true }]);
  await db.pool.query(`UPDATE delivery_circuit SET open_until = now() - interval '1 second'`);
  const [again] = await ofT();
  if (again === undefined) throw new Error('nothing was tried');
  await deliveries.delivered(again, 204);
  expect(await db.rows('SELECT * FROM delivery_circuit')).toEqual([]);
  expect(await ofT()).toHaveLength(4);
  // One that is too old is given up, wherever its tries stand.
  await db.pool.query(`UPDATE webhook_delivery SET at = now() - interval '5 days'`);
  await deliveries.removeOld(KEPT, 100);
  expect(await db.rows(`SELECT DISTINCT status FROM webhook_delivery ORDER BY 1`)).toEqual([
    { status: 'dead' },
    { status: 'delivered' },
  ]);
});

test('what was erased while it was being delivered leaves neither the state of its host nor its call', async () => {
  const { deliveries } = stores();
  await owing('down.test', 1);
  const [due] = await deliveries.takeDue(room(1), LEASE_MS);
  const runId = due?.runId;
  if (due === undefined || runId === null || runId === undefined) throw new Error('nothing was owed');
  const names = { tenantId: 't', traceId: 'c'.repeat(32), parentId: 'd'.repeat(16), spanId: 'e'.repeat(16), runId };
  const none = { actionId: null, epoch: null, attempt: null };
  const call = { service: 'down.test', method: 'POST', host: 'down.test', status: null, error: 'refused' };
  const span = { ...names, ...none, ...call, kind: 'callback' as const, durationMs: 1, endedAt: 0, endedMsAgo: 0 };
  const spans = createCallSpanStore(db.pool, 1);
  const left = async () => [
    await db.rows('SELECT host FROM delivery_circuit'),
    await db.rows('SELECT host FROM call_span'),
  ];
  const ends = async () => {
    await deliveries.failed(due, { ...SOON, status: null, unavailable: true }, 60, 60);
    await spans.add([span]);
  };
  await ends();
  expect(await left()).toEqual([[{ host: 'down.test' }], [{ host: 'down.test' }]]);
  await db.pool.query('DELETE FROM webhook_delivery; DELETE FROM delivery_circuit; DELETE FROM call_span');
  await db.pool.query('DELETE FROM run WHERE id = $1', [runId]);
  await ends();
  expect(await left()).toEqual([[], []]);
});

test('secrets are kept encrypted where there is a key, those from before are read and rotated with the others, again and again', async () => {
  const [oldKey, newKey] = [randomBytes(32).toString('base64'), randomBytes(32).toString('base64')];
  const ringOf = (...keys: string[]) => createKeyring(keys) ?? expect.fail('there are keys');
  const withKey = (...keys: string[]) => createWebhookStore(db, createKeyring(keys));
  const due = async (...keys: string[]) => {
    await db.pool.query(`UPDATE webhook_delivery SET due_at = now() - interval '1 second', status = 'pending'`);
    const taken = await createWebhookDeliveryStore(db.pool, createKeyring(keys)).takeDue(room(10), LEASE_MS);
    return taken.map(({ webhookId, secrets, unsignable }) => [webhookId, unsignable ?? secrets]).sort();
  };
  const common = { tenantId: 't', url: 'http://x.test/', events: ['*'], description: null, active: true };
  const fields = { ...common, disabledReason: null, failingSince: null, createdBy: 'u' };
  await create('plain', ['*'], 50);
  await withKey(oldKey).create({ ...fields, id: 'sealed', secret: 'secret of sealed' }, 50);
  await withKey(oldKey).change('t', 'plain', { secret: { value: 'newer of plain', previousSeconds: 60 } });
  await createWebhookStore(db, undefined).addTest({ id: 'plain', tenantId: 't' } as never, 'd1');
  await createWebhookStore(db, undefined).addTest({ id: 'sealed', tenantId: 't' } as never, 'd2');
  const stored = async () => JSON.stringify(await db.rows('SELECT secret, previous_secret FROM webhook ORDER BY id'));
  expect(await stored()).not.toMatch(/secret of sealed|newer of plain/);
  const readable = [
    ['plain', ['newer of plain', 'secret of plain']],
    ['sealed', ['secret of sealed']],
  ];
  expect(await due(oldKey)).toEqual(readable);
  // Nothing goes out unsigned, and one that cannot be read does not hold up the others.
  await create('untouched', ['*'], 50);
  await createWebhookStore(db, undefined).addTest({ id: 'untouched', tenantId: 't' } as never, 'd3');
  expect(await due(newKey)).toEqual([
    ['plain', expect.stringContaining(ringOf(oldKey).newest)],
    ['sealed', expect.stringContaining(ringOf(oldKey).newest)],
    ['untouched', ['secret of untouched']],
  ]);

  await db.pool.query(
    `INSERT INTO secret (tenant_id, name, version, envelope, created_by, updated_by) VALUES ('t', 'A', 3, $1, 'u', 'u')`,
    [ringOf(oldKey).seal('value', secretContext('t', 'A', 3))],
  );
  expect(await rotateSecrets(db.pool, ringOf(newKey))).toMatchObject({
    // What was still plain needs no older key.
    moved: { webhook: 2 },
    failed: expect.arrayContaining([expect.stringContaining('secret t A')]),
  });
  expect(await rotateSecrets(db.pool, ringOf(newKey, oldKey))).toEqual({
    moved: { secret: 1, webhook: 2 },
    failed: [],
  });
  expect(await rotateSecrets(db.pool, ringOf(newKey, oldKey))).toEqual({ moved: {}, failed: [] });
  expect(await due(newKey)).toEqual([...readable, ['untouched', ['secret of untouched']]]);
  const [row] = await db.rows<{ envelope: string }>('SELECT envelope FROM secret');
  expect(ringOf(newKey).open(row?.envelope ?? '', secretContext('t', 'A', 3))).toBe('value');
  expect(await stored()).not.toContain('secret of');
});
