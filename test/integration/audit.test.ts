/** The audit through the public door, and what the database lets nobody do to it. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect } from 'vitest';
import type { AuditEntry } from '../../src/engine/ports/audit.ts';
import { hashOf, NO_HASH } from '../../src/features/audit/chain.ts';
import { createAuditStore } from '../../src/features/audit/store.ts';
import { readAnchors, verifyAudit } from '../../src/features/audit/verify.ts';
import { accepted, type Client, openClient } from '../harness/client/client.ts';
import { until } from '../harness/until.ts';
import { expectProblem } from '../support/expect-answers.ts';
import { onBothBackends } from '../support/fixtures.ts';
import type { Stack } from '../support/stack.ts';
import { echo, workflow } from '../support/test-task.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'audit-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const ANCHORS = path.join(folder, 'anchors');
/** Nothing that ids and times are made of. */
const SECRET = 'tell-nobody';
// The queue does not matter here.
const ONE = onBothBackends({ environment: { AUDIT_ANCHOR_FILE: ANCHORS, SECRET_CARD: SECRET } }).slice(0, 1);

const as = (api: Client, tenant: string, headers = {}) =>
  openClient(api.url, { 'x-tenant-id': tenant, 'x-user-id': 'anna', ...headers });
const audit = async (api: Client, query = '') =>
  accepted(await api.get(`/audit?${query}`), 200).body as { items: AuditEntry[]; next_cursor: string | null };
const actions = (entries: AuditEntry[]) => entries.map(({ action, decision }) => `${action} ${decision}`);

async function verify(stack: Stack, tenant: string) {
  const store = createAuditStore(stack.db);
  const chain = async (after: string | undefined, limit: number) =>
    (await store.chains(after, limit)).filter(({ tenant_id }) => tenant_id === tenant);
  const anchors = new Map([...(await readAnchors(ANCHORS))].filter(([id]) => id === tenant));
  const { broken, entries } = await verifyAudit({ ...store, chains: chain }, anchors, () => undefined);
  return broken[0]?.fault ?? entries;
}

describe.each(ONE)('the audit on $backend', ({ test }) => {
  test('tells who changed what, from where, with which answer, before the answer is there', async ({ api: any }) => {
    const api = as(any, 'told', { 'x-request-id': 'request-7', 'user-agent': 'test/1' });
    const id = await api.createWorkflow(workflow([echo('one')]));
    const { items } = await audit(api);
    expect(items).toEqual([
      {
        ...{ tenant_id: 'told', seq: 1, at: expect.any(String), actor: 'anna', means: 'none', credential: null },
        ...{ action: 'createWorkflow', permission: 'workflows:write', resource_type: 'workflows', resource_id: id },
        ...{ address: '127.0.0.1', user_agent: 'test/1', decision: 'allowed', reason: null, status: 201 },
        ...{ request_id: 'request-7', trace_id: expect.any(String), hash: expect.stringMatching(/^[0-9a-f]{64}$/) },
        details: { fields: expect.arrayContaining(['name', 'actions']) },
      },
    ]);
    accepted(await api.send('DELETE', `/workflows/${id}?force=true`), 204);
    expectProblem(await api.send('DELETE', `/workflows/${id}`), 404, 'not_found');
    expect((await audit(api, `resource=${id}&action=deleteWorkflow&decision=allowed`)).items).toMatchObject([
      { resource_type: 'workflow', resource_id: id, status: 204, details: { query: { force: 'true' } } },
    ]);
    // A request that came to nothing, and having looked at the audit, are in it a moment later.
    await until(async () => (await audit(api, 'decision=refused')).items[0]?.reason === 'not_found', {
      what: 'the refused request is in the audit',
    });
    await until(async () => (await audit(api, 'action=listAudit')).items.length > 0, { what: 'who looked is in it' });
    expect((await audit(as(any, 'other'))).items.filter(({ resource_id }) => resource_id === id)).toEqual([]);
  });

  test('has executions soon after they were accepted, plain reads not, and no secret', async ({ api: any }) => {
    const api = as(any, 'many');
    const id = await api.createWorkflow(workflow([echo('one')]));
    const runs = await Promise.all(Array.from({ length: 20 }, () => api.execute(id, { correlation_id: SECRET })));
    accepted(await api.get(`/workflows?tag=${SECRET}`), 200);
    expectProblem(
      await api.post(`/workflows/${id}/execute?version=${SECRET}&token=x`, { priority: 'no' }),
      400,
      'invalid_request',
    );
    const counted = async (action: string) => (await audit(api, `action=${action}`)).items.length;
    await until(async () => (await counted('executeWorkflow')) === 21, { what: 'all are written' });
    await until(async () => (await counted('listAudit')) > 0, { what: 'who looked is in it' });
    const { items } = await audit(api, 'limit=200');
    expect(new Set(actions(items))).toEqual(
      new Set(['createWorkflow allowed', 'executeWorkflow allowed', 'executeWorkflow refused', 'listAudit allowed']),
    );
    expect(new Set(items.flatMap(({ details }) => details['created'] ?? []))).toEqual(new Set(runs));
    expect(items.find(({ decision }) => decision === 'refused')?.details).toMatchObject({
      query: { version: '***', token: '***' },
    });
    expect(JSON.stringify(items)).not.toContain(SECRET);
    await Promise.all(runs.map((run) => api.ended(run)));
  });

  test('is read page by page, by time, and only by whom it belongs to', async ({ api: any }) => {
    const api = as(any, 'pages');
    const from = new Date(Date.now() - 60_000).toISOString();
    for (let n = 0; n < 5; n += 1) await api.createWorkflow(workflow([echo('one')]));
    const query = `action=createWorkflow&limit=2&from=${from}`;
    const seen: number[] = [];
    for (let page = await audit(api, query); ; page = await audit(api, `${query}&cursor=${page.next_cursor}`)) {
      seen.push(...page.items.map(({ seq }) => seq));
      if (page.next_cursor === null) break;
    }
    expect(seen).toHaveLength(5);
    expect(seen).toEqual([...seen].sort((a, b) => b - a));
    expect((await audit(api, `action=createWorkflow&to=${from}`)).items).toEqual([]);
    expect((await audit(api, 'actor=nobody')).items).toEqual([]);
    expectProblem(await api.get('/audit?decision=perhaps'), 400, 'invalid_request');
  });

  test('counts what is denied instead of writing all of it', async ({ stack }) => {
    const { port, stop } = await stack.add('api', { API_KEY: 'the-key', AUDIT_READS: 'true' });
    const url = `http://127.0.0.1:${port}`;
    const stranger = openClient(url);
    for (let n = 0; n < 30; n += 1) expectProblem(await stranger.get('/workflows'), 401, 'unauthorized');
    const system = openClient(url, { 'x-api-key': 'the-key' });
    accepted(await system.get('/workflows'), 200);
    // At the end of a process what it has counted is written, and all that waits.
    await stop();
    const own = as(stack.api, 'default');
    expect((await audit(own, 'chain=installation&decision=denied')).items).toMatchObject([
      { seq: 2, actor: 'unknown', status: 401, details: { more: 29, within_seconds: 60 } },
      { seq: 1, actor: 'unknown', status: 401, reason: 'unauthorized', details: { method: 'GET', path: '/workflows' } },
    ]);
    expect((await audit(own, 'action=listWorkflows')).items).toMatchObject([{ means: 'api_key', decision: 'allowed' }]);
  });

  test('has what the outbound policy refused, with whose task it was and nothing of what is there', async ({
    api: any,
  }) => {
    const api = as(any, 'egress');
    const call = {
      ...{ action_id: 'out', action_type: 'http_request' },
      config: { url: 'http://169.254.169.254/latest/meta-data/' },
      on_failure: 'continue',
    };
    const run = await api.execute(await api.createWorkflow(workflow([call])));
    await api.ended(run);
    const found = async () => (await audit(api, 'action=egress.denied')).items;
    await until(async () => (await found()).length > 0, { what: 'the refusal is in the audit' });
    expect(await found()).toMatchObject([
      {
        ...{ actor: 'orchestrator', resource_type: 'host', resource_id: '169.254.169.254', decision: 'denied' },
        ...{ reason: 'reserved_address', details: { task: expect.stringContaining(run), method: 'GET' } },
      },
    ]);
  });

  test('cannot be changed by the application; what its owner changes is found', async ({ stack, db }) => {
    const { port, stop } = await stack.add('api');
    const api = as(openClient(`http://127.0.0.1:${port}`), 'chain');
    for (let n = 0; n < 4; n += 1) await api.createWorkflow(workflow([echo('one')]));
    // At the end, and every minute, the ends of the chains are anchored.
    await stop();
    expect(readAnchored()).toContain('chain 4');
    const ours = `tenant_id = 'chain'`;
    const refused = /append-only|only goes forward/;
    await expect(db.query(`UPDATE audit_entry SET actor = 'mallory' WHERE ${ours}`)).rejects.toThrow(refused);
    await expect(db.query(`DELETE FROM audit_entry WHERE ${ours} AND seq = 4`)).rejects.toThrow(refused);
    await expect(db.query('TRUNCATE audit_entry')).rejects.toThrow(refused);
    await expect(db.query(`UPDATE audit_head SET seq = 2 WHERE ${ours}`)).rejects.toThrow(refused);
    await expect(db.query(`UPDATE audit_head SET pruned_seq = 2 WHERE ${ours}`)).rejects.toThrow(refused);
    await expect(db.query(`DELETE FROM audit_head WHERE ${ours}`)).rejects.toThrow(refused);
    expect(await verify(stack, 'chain')).toBe(4);

    const tamper = async (sql: string) => {
      const client = await db.connect();
      try {
        await client.query(`BEGIN; SET LOCAL session_replication_role = replica; ${sql}`);
        await client.query('COMMIT');
        return await verify(stack, 'chain');
      } finally {
        client.release();
      }
    };
    const keep = (await db.query(`SELECT * FROM audit_entry WHERE ${ours} ORDER BY seq`)).rows;
    expect(await tamper(`UPDATE audit_entry SET actor = 'mallory' WHERE ${ours} AND seq = 2`)).toMatchObject({
      ...{ what: 'changed', seq: 2 },
    });
    expect(await tamper(`UPDATE audit_entry SET actor = 'anna' WHERE ${ours} AND seq = 2`)).toBe(4);
    const swap = `UPDATE audit_entry SET seq = -seq WHERE ${ours} AND seq IN (2, 3);
      UPDATE audit_entry SET seq = 5 + seq WHERE ${ours} AND seq < 0`;
    expect(await tamper(swap)).toMatchObject({ what: 'reordered', seq: 2 });
    expect(await tamper(swap)).toBe(4);
    const move = `UPDATE audit_entry SET seq = -seq - 1 WHERE ${ours} AND seq > 1; UPDATE audit_entry SET seq = -seq WHERE ${ours} AND seq < 0`;
    const columns = Object.keys(keep[0] as object).filter((column) => column !== 'seq'); // There are four.
    const insert = `INSERT INTO audit_entry (seq, ${columns.join(', ')}) SELECT 2, ${columns.join(', ')} FROM audit_entry WHERE ${ours} AND seq = 1`;
    expect(await tamper(`${move}; ${insert}`)).toMatchObject({ what: 'inserted', seq: 2 });
    const back = `DELETE FROM audit_entry WHERE ${ours} AND seq = 2; UPDATE audit_entry SET seq = seq - 1 WHERE ${ours} AND seq = 3;
      UPDATE audit_entry SET seq = seq - 1 WHERE ${ours} AND seq = 4; UPDATE audit_entry SET seq = seq - 1 WHERE ${ours} AND seq = 5`;
    expect(await tamper(back)).toBe(4);
    expect(await tamper(`DELETE FROM audit_entry WHERE ${ours} AND seq = 4`)).toMatchObject({
      what: 'truncated',
      seq: 4,
    });
    const shorter = `UPDATE audit_head SET seq = 3, hash = (SELECT hash FROM audit_entry WHERE ${ours} AND seq = 3) WHERE ${ours}`;
    // The head agrees; the anchor does not.
    expect(await tamper(shorter)).toMatchObject({ what: 'truncated', seq: 4 });
    expect(await tamper(`DELETE FROM audit_entry WHERE ${ours} AND seq = 2`)).toMatchObject({
      what: 'missing',
      seq: 2,
    });
    expect(await tamper(`DELETE FROM audit_entry WHERE ${ours}; DELETE FROM audit_head WHERE ${ours}`)).toMatchObject({
      ...{ what: 'truncated', seq: 1 },
    });
  });

  test('loses its beginning to retention only when that is old, and stays whole', async ({ api: any, db }) => {
    const api = as(any, 'aged');
    for (let n = 0; n < 3; n += 1) await api.createWorkflow(workflow([echo('one')]));
    const store = createAuditStore(db);
    const events = (await store.entries('aged', 0, 10)).map(({ seq, at, hash, ...event }) => event);
    expect(await store.prune(30, 100)).toBe(0);
    // As if these had been written long ago, and one more just now.
    const aged = await db.connect();
    await aged.query(`BEGIN; SET LOCAL session_replication_role = replica; DELETE FROM audit_entry WHERE tenant_id = 'aged';
      UPDATE audit_head SET seq = 0, hash = pruned_hash WHERE tenant_id = 'aged'; COMMIT`);
    aged.release();
    await store.append(events);
    const old = await store.entries('aged', 0, 10);
    let hash = NO_HASH;
    for (const { hash: _, ...content } of old) {
      const at = new Date(Date.parse(content.at) - 40 * 86_400_000).toISOString();
      hash = hashOf(hash, { ...content, at });
      await db.query(
        `BEGIN; SET LOCAL session_replication_role = replica;
         UPDATE audit_entry SET at = '${at}', hash = decode('${hash}', 'hex') WHERE tenant_id = 'aged' AND seq = ${content.seq};
         UPDATE audit_head SET hash = decode('${hash}', 'hex') WHERE tenant_id = 'aged'; COMMIT`,
      );
    }
    await api.createWorkflow(workflow([echo('one')]));
    expect(await store.prune(30, 2)).toBe(2);
    expect(await store.prune(30, 2)).toBe(1);
    expect(await store.prune(30, 2)).toBe(0);
    expect((await store.entries('aged', 0, 10)).map(({ seq }) => seq)).toEqual([4]);
    const chains = (await store.chains(undefined, 100)).filter(({ tenant_id }) => tenant_id === 'aged');
    expect(chains).toMatchObject([{ seq: 4, pruned_seq: 3, pruned_hash: hash }]);
    const only = { ...store, chains: async (after?: string) => (after === undefined ? chains : []) };
    expect(await verifyAudit(only, new Map(), () => undefined)).toEqual({ chains: 1, entries: 1, broken: [] });
  });
});

function readAnchored(): string[] {
  try {
    return readFileSync(ANCHORS, 'utf8')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as { tenant_id: string; seq: number }) // We have written it.
      .map(({ tenant_id, seq }) => `${tenant_id} ${seq}`);
  } catch {
    return [];
  }
}
