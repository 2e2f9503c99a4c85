/** A backup made under load is restored, Redis is emptied, and the service goes on: docs/operations.md says what may be expected. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Redis } from 'ioredis';
import pg from 'pg';
import { expect, test } from 'vitest';
import { type Client, openClient } from '../harness/client/client.ts';
import { createClosing } from '../harness/closing.ts';
import { type Child, HURRIED, startProcess } from '../harness/processes/process.ts';
import { backUp } from '../harness/servers/base-backup.ts';
import { makePostgresFolder, openPostgres, openRedis } from '../harness/servers/store-servers.ts';
import { openTestService } from '../harness/services/test-service.ts';
import { until } from '../harness/until.ts';

const ENDED = 5;
const UNDER_WAY = 20;
const LATER = 5;

test('every run that the backup has ends as it would have, nothing is committed twice, and repeated calls have the keys of before', async () => {
  const closing = createClosing();
  try {
    const service = await openTestService();
    closing.push(() => service.close());
    const cwd = await mkdtemp(path.join(tmpdir(), 'restore-'));
    closing.push(() => rm(cwd, { recursive: true, force: true }));
    const redis = await openRedis();
    closing.push(() => redis.close());

    const start = async (databaseUrl: string): Promise<{ api: Client; kill(): Promise<unknown> }> => {
      const settings = {
        ...HURRIED,
        ...{ DATABASE_URL: databaseUrl, REDIS_URL: redis.url, PORT: '0', WORKER_PORT: '0', LOG_FILE: 'none' },
      };
      const children: Child[] = [];
      const kill = () => Promise.all(children.splice(0).map((child) => child.end('SIGKILL')));
      closing.push(kill);
      for (const kind of ['api', 'worker'] as const) children.push(await startProcess({ kind, cwd, settings }));
      return { api: openClient(`http://127.0.0.1:${children[0]?.port}`), kill };
    };

    const folder = await makePostgresFolder();
    const original = await openPostgres({ folder });
    closing.push(() => original.close());
    const before = await start(original.url);
    const call = (id: string, n: number, dependsOn: string[]) => ({
      ...{ action_id: id, action_type: 'http_request', depends_on: dependsOn },
      config: { url: service.url, json: { n, from: [], work_ms: 50, behave: 'succeed' } },
    });
    const workflowId = await before.api.createWorkflow({
      name: 'restored',
      actions: [
        call('a', 1, []),
        { action_id: 'pause', action_type: 'wait', config: { seconds: 3 }, depends_on: ['a'] },
        call('b', 2, ['pause']),
      ],
    });
    const begin = (count: number) => Promise.all(Array.from({ length: count }, () => before.api.execute(workflowId)));

    const ended = await begin(ENDED);
    for (const id of ended) await before.api.ended(id);
    const underWay = await begin(UNDER_WAY);
    await until(() => service.calls.length >= 2 * ENDED + 3, { what: 'some of the runs are under way' });
    const copy = await backUp(folder, original.url);
    closing.push(() => rm(copy, { recursive: true, force: true }));
    const later = await begin(LATER);
    for (const id of [...underWay, ...later]) await before.api.ended(id);
    const keysBefore = new Set(service.calls.map(({ key }) => key));

    await before.kill();
    const client = new Redis(redis.url);
    await client.flushall();
    client.disconnect();
    const restored = await openPostgres({ folder: copy });
    closing.push(() => restored.close());
    const callsBefore = service.calls.length;
    const after = await start(restored.url);

    for (const id of [...ended, ...underWay]) {
      const { status, tasks } = await after.api.finished(id);
      expect([status, ...tasks.map((task) => task.status)]).toEqual(Array(4).fill('completed'));
    }
    // What came after the backup is gone, and said to be.
    for (const id of later) expect((await after.api.get(`/result/${id}`)).status).toBe(404);
    const again = service.calls.slice(callsBefore);
    expect(again.length).toBeGreaterThan(0);
    expect(again.filter(({ key }) => !keysBefore.has(key))).toEqual([]);
    expect(again.filter(({ key }) => ended.some((id) => key?.startsWith(`${id}.`)))).toEqual([]);
    const db = new pg.Client({ connectionString: restored.url });
    await db.connect();
    const { rows } = await db.query(
      `SELECT run_id, action_id FROM attempt WHERE status = 'completed' GROUP BY run_id, action_id HAVING count(*) > 1`,
    );
    await db.end();
    expect(rows).toEqual([]);
  } finally {
    await closing.close();
  }
});
