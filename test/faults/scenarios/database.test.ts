/** What becomes of runs when PostgreSQL crashes, ends connections, or is changed by migrations under load. */
import pg from 'pg';
import { afterAll, describe, expect } from 'vitest';
import { openPostgres, type StoreServer } from '../../harness/servers/store-servers.ts';
import type { Service } from '../../harness/services/service.ts';
import { until } from '../../harness/until.ts';
import { openPostgresOnSmallDisk, type PostgresOnSmallDisk } from '../../support/faults/postgres-on-small-disk.ts';
import { onBothBackendsInProcesses, type Processes, processesTest } from '../../support/processes.ts';
import { GATED_ACTIONS, gated } from '../../support/scenario.ts';

const COMPLETED = { status: 'completed', progress: { total: GATED_ACTIONS, completed: GATED_ACTIONS } };
const ONE_ATTEMPT = [{ attempt: 1, status: 'completed' }];
const later = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** Ends connections of the processes under test; how many. */
async function terminate(db: pg.Pool, like: string): Promise<number> {
  const { rowCount } = await db.query(
    `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE $1`,
    [like],
  );
  return rowCount ?? 0;
}

async function underWay({ api }: Processes, service: Service, count: number): Promise<string[]> {
  service.answer(() => later(25).then(() => ({ body: {} })));
  const id = await api.createWorkflow(gated(service));
  const runs = await Promise.all(Array.from({ length: count }, () => api.execute(id)));
  await until(() => service.calls.length >= count, { what: 'the runs are under way' });
  return runs;
}

/** Begins runs, whatever is going on, until told to stop; gives what was accepted and every other answer. */
async function underLoad(processes: Processes, workflowId: string, work: (others: readonly number[]) => Promise<void>) {
  const accepted: string[] = [];
  const others: number[] = [];
  let going = true;
  const load = (async () => {
    for (let n = 0; going || accepted.length === 0; n += 1) {
      const body = { parameters: {}, idempotency_key: `key ${n}` };
      const answer = await processes.api.post(`/workflows/${workflowId}/execute`, body);
      if (answer.status === 202) accepted.push((answer.body as { execution_id: string }).execution_id);
      else others.push(answer.status);
      await later(20);
    }
  })();
  try {
    await work(others);
  } finally {
    going = false;
  }
  await load;
  return { accepted, others };
}

describe.each(onBothBackendsInProcesses())('connections on $backend', ({ test }) => {
  test('all connections are ended by the server again and again: every outcome is written once', async ({
    api,
    processes,
    service,
    db,
  }) => {
    await processes.compose('api');
    await Promise.all([1, 2].map(() => processes.start('worker')));
    service.answer(() => later(25).then(() => ({ body: {} })));
    const id = await api.createWorkflow(gated(service));
    let ended = 0;
    const { accepted, others } = await underLoad(processes, id, async () => {
      for (let rounds = 0; rounds < 15; rounds += 1) {
        ended += await terminate(db, 'orchestrator%');
        await later(200);
      }
    });
    expect(ended).toBeGreaterThan(30);
    expect(others.filter((status) => status !== 503)).toEqual([]);
    for (const run of accepted) {
      const found = await api.finished(run);
      expect(found).toMatchObject(COMPLETED);
      for (const task of found.tasks) expect(task.attempts_history).toMatchObject(ONE_ATTEMPT);
    }
    for (const child of processes.children) expect(child.isAlive()).toBe(true);
  });
});

const test = processesTest('redis');

test('without its notifications a cancellation still reaches a running adapter', async ({
  api,
  processes,
  service,
  db,
}) => {
  await processes.compose('api');
  await processes.compose('worker');
  service.answer(() => undefined);
  const id = await api.createWorkflow({
    name: 'long',
    actions: [{ action_id: 'call', action_type: 'http_request', config: { url: service.url } }],
  });
  const run = await api.execute(id);
  await until(() => service.calls.length === 1);
  // Ended as soon as it is there: no notification ever arrives.
  let going = true;
  let ended = 0;
  const ending = (async () => {
    while (going) {
      ended += await terminate(db, '%-listen');
      await later(20);
    }
  })();
  try {
    await until(() => ended >= 2, { what: 'the listeners are gone' });
    await api.post(`/workflows/executions/${run}/cancel`);
    await until(() => service.calls[0]?.abandoned === true, { what: 'the connection is closed' });
    expect(await api.finished(run)).toMatchObject({ status: 'cancelled' });
  } finally {
    going = false;
    await ending;
  }
});

describe('a PostgreSQL of its own', () => {
  let postgres: StoreServer | undefined;
  const own = processesTest('redis', {
    async database() {
      postgres = await openPostgres();
      return { url: postgres.url, name: 'orchestrator', drop: async () => undefined };
    },
  });
  afterAll(() => postgres?.close());

  own(
    'it crashes under load and recovers: what was accepted is done, each task once, and no request gets a 500',
    async ({ api, processes, service }) => {
      await processes.compose('api');
      await Promise.all([1, 2].map(() => processes.start('worker')));
      const before = await underWay(processes, service, 8);
      const id = await api.createWorkflow(gated(service));
      const { accepted, others } = await underLoad(processes, id, async (soFar) => {
        for (let crashes = 0; crashes < 2; crashes += 1) {
          const seen = soFar.length;
          await postgres?.crash(
            async () => void (await until(() => soFar.length > seen, { what: 'a request met no database' })),
          );
          await until(async () => (await api.get('/ready')).status === 200);
        }
      });
      expect(others.filter((status) => status !== 503)).toEqual([]);
      for (const run of [...before, ...accepted]) {
        const found = await api.finished(run);
        expect(found).toMatchObject(COMPLETED);
        for (const task of found.tasks) expect(task.attempts_history).toMatchObject(ONE_ATTEMPT);
      }
    },
  );
});

describe('a PostgreSQL on a small disk', () => {
  let postgres: PostgresOnSmallDisk | undefined;
  const own = processesTest('redis', {
    async database() {
      postgres = await openPostgresOnSmallDisk();
      return { url: postgres.url, name: 'orchestrator', drop: async () => undefined };
    },
  });
  afterAll(() => postgres?.close());

  own(
    'its disk is full: requests get 503, and when there is room again everything accepted is done',
    async ({ api, processes, service }) => {
      await processes.compose('api');
      await processes.start('worker');
      const before = await underWay(processes, service, 8);
      const id = await api.createWorkflow(gated(service));
      // Large enough that there is no room for them in what the server has set aside.
      const parameters = { filling: 'x'.repeat(500_000) };
      const accepted: string[] = [];
      let refused = 0;
      const makeRoom = await postgres?.fill();
      for (let n = 0; refused < 3; n += 1) {
        const body = { parameters, idempotency_key: `key ${n}` };
        const answer = await api.post(`/workflows/${id}/execute`, body);
        if (answer.status === 202) accepted.push((answer.body as { execution_id: string }).execution_id);
        else {
          expect(answer.status).toBe(503);
          refused += 1;
        }
      }
      await makeRoom?.();
      // A server that could not write its log ends itself; whoever looks after it starts it again.
      if (postgres !== undefined && !(await isUp(postgres.url))) await postgres.crash(async () => undefined);
      await until(async () => (await api.get('/ready')).status === 200, { what: 'the API is ready again' });
      accepted.push(await api.execute(id));
      for (const run of [...before, ...accepted]) {
        const found = await api.finished(run);
        expect(found).toMatchObject(COMPLETED);
        for (const task of found.tasks) expect(task.attempts_history).toMatchObject(ONE_ATTEMPT);
      }
    },
  );
});

async function isUp(url: string): Promise<boolean> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => undefined);
  try {
    await client.connect();
    await client.query('SELECT 1');
    return true;
  } catch {
    return false;
  } finally {
    await client.end().catch(() => undefined);
  }
}
