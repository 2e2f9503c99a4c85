/** A database for tests of the hot statements, and short words to look into it. */
import pg from 'pg';
import type { RunStore } from '../../src/engine/ports/runs.ts';
import type { TaskStore } from '../../src/engine/ports/tasks.ts';
import { prismaAdapter } from '../../src/store/core/prisma-adapter.ts';
import { PrismaClient } from '../../src/store/generated/client.ts';
import { createRunStore } from '../../src/store/runs/run-store.ts';
import { createTaskStore } from '../../src/store/tasks/task-store.ts';
import { newRun, outcome } from '../harness/outcomes.ts';
import { createTestDatabase } from './servers.ts';

type Row = { [column: string]: unknown };

export interface FenceDatabase {
  url: string;
  pool: pg.Pool;
  /** Over that pool; connects when it is first asked. */
  prisma: PrismaClient;
  tasks: TaskStore;
  runs: RunStore;
  /** A fresh run; the id is returned. */
  accepted(): Promise<string>;
  commit(values: Parameters<typeof outcome>[0]): ReturnType<TaskStore['commit']>;
  claim(runId: string, actionId?: string): ReturnType<TaskStore['claim']>;
  rows<T extends object = Row>(sql: string, ...values: unknown[]): Promise<T[]>;
  task(runId: string, actionId?: string): Promise<Row | undefined>;
  run(runId: string): Promise<Row | undefined>;
  /** Kinds of events, in order. */
  kinds(runId: string): Promise<string[]>;
  /** `a 1 failed` for each attempt. */
  attempts(runId: string): Promise<string[]>;
  close(): Promise<void>;
}

export async function openFenceDatabase(): Promise<FenceDatabase> {
  const place = await createTestDatabase();
  const pool = new pg.Pool({ connectionString: place.url, max: 18 });
  const prisma = new PrismaClient({ adapter: prismaAdapter(pool) });
  const tasks = createTaskStore(pool);
  const runs = createRunStore(pool);
  let made = 0;
  const rows = async <T extends object>(sql: string, ...values: unknown[]) => (await pool.query<T>(sql, values)).rows;
  return {
    url: place.url,
    pool,
    prisma,
    tasks,
    runs,
    rows,
    async accepted() {
      made += 1;
      const { id } = await runs.accept(newRun(`run-${made}`));
      return id;
    },
    commit: (values) => tasks.commit(outcome(values)),
    claim: (runId, actionId = 'a') =>
      tasks.claim({ runId, epoch: 1, actionId, actionType: 'test_task', worker: 'other' }),
    async task(runId, actionId = 'a') {
      return (await rows<Row>('SELECT * FROM task WHERE run_id = $1 AND action_id = $2', runId, actionId))[0];
    },
    async run(runId) {
      // A run that has begun is marked a little later.
      await tasks.drain();
      return (await rows<Row>('SELECT * FROM run WHERE id = $1', runId))[0];
    },
    async kinds(runId) {
      const found = await rows<{ kind: string }>('SELECT kind FROM event WHERE run_id = $1 ORDER BY id', runId);
      return found.map(({ kind }) => kind);
    },
    async attempts(runId) {
      const found = await rows<{ told: string }>(
        `SELECT action_id || ' ' || attempt || ' ' || status AS told FROM attempt WHERE run_id = $1 ORDER BY 1`,
        runId,
      );
      return found.map(({ told }) => told);
    },
    async close() {
      await pool.end();
      await place.drop();
    },
  };
}
