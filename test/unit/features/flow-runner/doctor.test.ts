/** What the doctor says of the broker and of messages, for each thing that can be wrong. */
import type pg from 'pg';
import { expect, test } from 'vitest';
import { bareEnvironment, loadConfig } from '../../../../src/config/config.ts';
import type { Finding } from '../../../../src/doctor/finding.ts';
import { checkBroker, checkMessages } from '../../../../src/features/flow-runner/doctor.ts';
import type { PartitionLag, Transport } from '../../../../src/features/flow-runner/transport/ports.ts';

const CONSUMED = ['flow_runs', 'task_done', 'task_failed'];
const ALL = [...CONSUMED, 'task_queue', 'dead_letter_queue', 'agent.audit'];

async function all(findings: AsyncIterable<Finding>): Promise<Finding[]> {
  const found: Finding[] = [];
  for await (const finding of findings) found.push(finding);
  return found;
}

interface World {
  name: Transport['name'];
  missing: readonly string[];
  beyondEnd: Readonly<Record<string, number[]>>;
  lags: readonly string[];
  ping: () => Promise<void>;
}

function transportOf(world: Partial<World>): Pick<Transport, 'name' | 'ping' | 'check' | 'lag'> {
  const { name = 'kafka', missing = [], beyondEnd = {}, lags = CONSUMED, ping = async () => undefined } = world;
  return {
    ...{ name, ping },
    check: async (_, topics) =>
      topics.map((topic) => ({ topic, exists: !missing.includes(topic), beyondEnd: beyondEnd[topic] ?? [] })),
    lag: async (): Promise<PartitionLag[]> => lags.map((topic) => ({ topic, partition: 0, lag: 0 })),
  };
}

async function found(world: Partial<World>, settings: Record<string, string> = {}): Promise<Finding[]> {
  const config = loadConfig({ ...bareEnvironment(), KAFKA_BOOTSTRAP_SERVERS: 'kafka', ...settings });
  return all(checkBroker(transportOf(world), config));
}
const problems = async (world: Partial<World>, settings: Record<string, string> = {}) =>
  (await found(world, settings)).filter(({ status }) => status !== 'ok');

test('where all is well each check says so', async () => {
  expect((await found({})).map(({ check, status }) => `${check} ${status}`)).toEqual([
    'flow_broker ok',
    'flow_topics ok',
    'flow_offsets ok',
    'flow_group ok',
  ]);
});

test('a broker that does not answer cannot be checked further', async () => {
  const away = { ping: () => Promise.reject(new Error('no broker')) };
  expect(await found(away)).toMatchObject([{ check: 'flow_broker', status: 'unknown' }]);
});

test('topics that are missing are named, and of streams they come with their first entry', async () => {
  expect(await problems({ missing: ['task_queue', 'agent.audit'] })).toMatchObject([
    { check: 'flow_topics', status: 'problem', message: "there are no topics 'task_queue', 'agent.audit'" },
  ]);
  expect(await problems({ name: 'redis-streams', missing: ['task_queue'] })).toEqual([]);
  // What is not published needs no topic.
  expect(await problems({ missing: ['dead_letter_queue'] }, { DEAD_LETTER_QUEUE_ENABLED: 'false' })).toEqual([]);
  expect(await problems({ missing: ['dead_letter_queue'] })).toHaveLength(1);
});

test('offsets beyond the end, and topics that the group has never consumed, are found', async () => {
  expect(await problems({ beyondEnd: { flow_runs: [1, 3] } })).toMatchObject([
    { check: 'flow_offsets', status: 'problem', message: expect.stringContaining('flow_runs (partitions 1, 3)') },
  ]);
  expect(await problems({ lags: ['task_done', 'task_failed'] })).toMatchObject([
    { check: 'flow_group', status: 'warning', message: expect.stringContaining("'flow_runs'") },
  ]);
});

test.each(ALL)('the topic %s is one of those that are needed', async (topic) => {
  expect(await problems({ missing: [topic] })).toMatchObject([{ message: `there are no topics '${topic}'` }]);
});

/** `lost`: tasks without a message; the outbox has so many, the oldest of that age. */
function poolOf(lost: readonly string[], messages: number, age: number | null): pg.Pool {
  const query = async (text: string) =>
    text.includes('external_task e') ? { rows: lost.map((id) => ({ id })) } : { rows: [{ messages, age }] };
  return { query } as unknown as pg.Pool; // What is used of it.
}

test('tasks that are neither published nor in the outbox are lost, and an outbox that does not empty is noticed', async () => {
  const check = (pool: pg.Pool) => all(checkMessages(pool, { transport: 'kafka' }));
  expect((await check(poolOf([], 0, null))).map(({ status }) => status)).toEqual(['ok', 'ok']);
  expect(await check(poolOf(['t-1', 't-2'], 0, null))).toMatchObject([
    { check: 'flow_messages', status: 'problem', ids: ['t-1', 't-2'], total: 2 },
    { check: 'flow_outbox', status: 'ok' },
  ]);
  expect((await check(poolOf([], 4, 10)))[1]).toMatchObject({ status: 'ok' });
  expect((await check(poolOf([], 4, 301)))[1]).toMatchObject({ check: 'flow_outbox', status: 'warning' });
  const off = await all(checkMessages(poolOf([], 4, 10), { transport: undefined }));
  expect(off[1]).toMatchObject({ status: 'warning', message: expect.stringContaining('no transport is on') });
});
