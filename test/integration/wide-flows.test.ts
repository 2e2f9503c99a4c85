/** What the width of a flow costs on PostgreSQL: the end of a child may not read its siblings, nor what else has ended. */
import pg from 'pg';
import { afterEach, expect, test } from 'vitest';
import type { FlowNode } from '../../src/domain/graph/compile.ts';
import { createFlowQueue } from '../../src/queue/flow-queue.ts';
import { openTestBackend } from '../support/queue-backend.ts';
import { createTestDatabase } from '../support/servers.ts';

const undo: Array<() => Promise<unknown>> = [];
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step();
});

const node = (jobId: string, children: FlowNode[] = []): FlowNode => ({
  queue: 'echo',
  name: jobId,
  jobId,
  data: { v: 1, run_id: 'r', epoch: 1, gen: 0, action_id: jobId, of: { workflow_id: 'w', version: 1 } },
  priority: 0,
  delayMs: 0,
  attempts: 1,
  children,
});

async function added(width: number): Promise<pg.Client> {
  const { url, drop } = await createTestDatabase();
  undo.push(drop);
  const backend = openTestBackend({ databaseUrl: url });
  undo.push(() => backend.close());
  const queue = createFlowQueue({ backend });
  undo.push(() => queue.close());
  const children = Array.from({ length: width }, (_, index) => node(`child-${index}`));
  await queue.add([[node('parent', children)]]);
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  undo.push(() => client.end());
  return client;
}

test('a child finds its link among a thousand by its key, at once after the flow was added', async () => {
  const client = await added(1_000);
  const { rows } = await client.query<{ 'QUERY PLAN': string }>(
    `EXPLAIN UPDATE bullmq.job_dependency SET status = 'processed'
     WHERE parent_queue = 'echo' AND parent_id = 'parent' AND child_key = 'echo:child-7'`,
  );
  const plan = rows.map((row) => row['QUERY PLAN']).join('\n');
  expect(plan).toContain('job_dependency_pkey');
  expect(plan).not.toContain('dep_parent_status_idx');
});

test('completed jobs are kept by their age alone: a count would be counted at the end of every job', async () => {
  const client = await added(3);
  const { rows } = await client.query<{ keep: unknown }>(
    `SELECT DISTINCT opts->'removeOnComplete' AS keep FROM bullmq.job`,
  );
  expect(rows).toEqual([{ keep: { age: 60 } }]);
});
