/** With ENCRYPT_PAYLOADS no store has what executions are given, make and say; with another key, or none, it is said. */
import { randomBytes } from 'node:crypto';
import { describe, expect } from 'vitest';
import { createKeyring } from '../../src/engine/keyring.ts';
import { PAYLOAD_COLUMNS } from '../../src/store/payloads/payload-columns.ts';
import { createPayloads, SEALED_KEY } from '../../src/store/payloads/payloads.ts';
import { rotatePayloads } from '../../src/store/payloads/rotate-payloads.ts';
import { accepted, type Client, field, openClient } from '../harness/client/client.ts';
import { until } from '../harness/until.ts';
import { dumpStores, placesOf } from '../support/everything.ts';
import { expectProblem, taskOf } from '../support/expect-answers.ts';
import { complete, heartbeat, take } from '../support/external-worker.ts';
import { onBothBackends } from '../support/fixtures.ts';
import type { Stack } from '../support/stack.ts';
import { echo, QUICK_RETRY, type TestAction, workflow } from '../support/test-task.ts';

const OLD = randomBytes(32).toString('base64');
const NEW = randomBytes(32).toString('base64');
const [onRedis] = onBothBackends({
  workers: 0,
  environment: { SECRETS_KEY: OLD, ENCRYPT_PAYLOADS: 'true', EVENTS_STREAM: 'told' },
});

/** All of them, so that one search finds any. */
const PLANTED = 'planted-value';
const planted = (where: string) => `${PLANTED} ${where} ü"\\`;
/** Is not encrypted, so a search finds it. */
const PLAIN = 'plain-correlation';

const step = (id: string, action_type: string, config: object, more: object = {}): TestAction => ({
  ...{ action_id: id, action_type, config, depends_on: [], ...more },
});
const CHILD = workflow([echo('inner', [], { got: '{{params.value}}' })]);
const everyKind = (child: string) =>
  workflow(
    [
      echo('made', [], { got: '{{params.value}}', $enc: 'of their own' }, { cache: { key: 'same', ttl_seconds: 600 } }),
      echo('again', ['made'], { got: '{{made.got}}' }),
      step('fails', 'test_fault', { tell: '{{params.value}}' }, { on_failure: 'continue', retry: QUICK_RETRY }),
      echo('each', [], { got: '{{item}}' }, { for_each: { items: ['{{params.value}}', { $enc: 'own' }] } }),
      step('sub', 'workflow', { workflow_id: child, parameters: { value: '{{params.value}}' } }),
      step('outside', 'external', { topic: 'sealed', input: { got: '{{params.value}}' } }),
      step('hears', 'signal', { name: 'word' }),
      step('ask', 'approval', { message: 'Is {{params.value}} right?' }),
      step('save', 'store_document', { id: 'doc', content: '{{params.value}}', metadata: { of: '{{params.value}}' } }),
    ],
    { output: { made: '{{made.got}}', heard: '{{hears}}' } },
  );
const SAGA = workflow([
  echo(
    'done',
    [],
    { got: '{{params.value}}' },
    {
      compensate: { action_type: 'test_task', config: { undoes: '{{params.value}}' } },
    },
  ),
  echo('breaks', ['done'], { fail_with: 'it broke: {{params.value}}' }, { retry: { max_attempts: 1 } }),
]);

async function runAll(api: Client): Promise<Record<'run' | 'saga' | 'schedule' | 'started' | 'flow', string>> {
  const child = await api.createWorkflow(CHILD);
  const run = await api.execute(await api.createWorkflow(everyKind(child)), {
    parameters: { value: planted('given') },
    correlation_id: PLAIN,
  });
  const task = await take(api, 'sealed');
  expect(task.input).toEqual({ got: planted('given') });
  expect((await heartbeat(api, task, { progress: { percent: 10, message: planted('said') } })).status).toBe(200);
  await until(async () => taskOf(await api.execution(run), 'outside')['progress'] !== null, { what: 'the progress' });
  expect(taskOf(await api.execution(run), 'outside')).toMatchObject({ progress: { message: planted('said') } });
  expect((await complete(api, task, { answer: planted('outside') })).status).toBe(200);
  const path = `/workflows/executions/${run}`;
  expect((await api.post(`${path}/signals/word`, { payload: planted('signal') })).status).toBe(202);
  await until(async () => (await api.get('/approvals')).text.includes(PLANTED), { what: 'somebody is asked' });
  // Who wants to know what it waits for can read it.
  const question = `Is ${planted('given')} right?`;
  const open = taskOf(await api.execution(run), 'ask') as { waiting_for?: { message?: string } };
  expect(open.waiting_for?.message).toBe(question);
  expect((await api.get(`/executions/${run}/why`)).text).toContain(JSON.stringify(question).slice(1, -1));
  expect((await api.post(`${path}/approve`, { action_id: 'ask' })).status).toBe(202);

  const saga = await api.execute(await api.createWorkflow(SAGA), { parameters: { value: planted('saga') } });
  const named = await api.post('/schedules', {
    ...{ name: 'sealed', workflow_id: child, cron: '0 2 * * *', parameters: { value: planted('schedule') } },
  });
  const schedule = (named.body as { schedule_id: string }).schedule_id;
  await api.createWorkflow(
    workflow([echo('a', [], { got: '{{params.value}}' })], {
      triggers: [{ event: 'sealed', parameters: { value: '{{event.data.value}}' } }],
    }),
  );
  const event = { specversion: '1.0', id: '1', source: '/s', type: 'sealed', data: { value: planted('event') } };
  const told = await api.post('/events', event, { 'content-type': 'application/cloudevents+json' });
  const started = (told.body as { started: Array<{ execution_id: string }> }).started[0]?.execution_id ?? '';
  const tells = workflow([echo('a', [], { got: '{{run.execution_context.value}}' })]);
  const requested = await api.post('/v1/runs', {
    ...{ flow_id: 'tells', flow_definition: tells, input: {}, execution_context: { value: planted('context') } },
  });
  const flow = field(accepted(requested, 202), 'run_id');
  for (const one of [run, saga, started, flow]) await api.finished(one);
  return { run, saga, schedule, started, flow };
}

async function expectReadable(api: Client, made: Awaited<ReturnType<typeof runAll>>): Promise<void> {
  const run = await api.execution(made.run);
  expect(run).toMatchObject({
    status: 'completed',
    parameters: { value: planted('given') },
    output: { made: planted('given'), heard: planted('signal') },
  });
  const output = (id: string) => taskOf(run, id)['output'];
  expect(output('made')).toEqual({ got: planted('given'), $enc: 'of their own' });
  expect(output('again')).toEqual({ got: planted('given') });
  expect(output('each')).toEqual([{ got: planted('given') }, { got: { $enc: 'own' } }]);
  expect(output('sub')).toMatchObject({ output: { inner: { got: planted('given') } } });
  expect(output('outside')).toEqual({ answer: planted('outside') });
  expect(taskOf(run, 'fails')).toMatchObject({
    status: 'failed',
    attempts: 2,
    error: { message: expect.stringContaining(planted('given')) },
    attempts_history: [{ error: { message: expect.stringContaining(planted('given')) } }, {}],
    progress: { message: `half of ${planted('given')}` },
  });
  const parts = await api.get(`/workflows/executions/${made.run}/parts?of=each`);
  expect(parts.body).toMatchObject({ items: [{ item: planted('given') }, { item: { $enc: 'own' } }] });
  expect(await api.execution(made.saga)).toMatchObject({
    status: 'compensated',
    error: { message: expect.stringContaining(planted('saga')) },
  });
  expect((await api.get(`/schedules/${made.schedule}`)).body).toMatchObject({
    parameters: { value: planted('schedule') },
  });
  expect(await api.execution(made.started)).toMatchObject({ output: { a: { got: planted('event') } } });
  expect(await api.execution(made.flow)).toMatchObject({ output: { a: { got: planted('context') } } });
  expect((await api.get('/infrastructure/dlq')).text).toContain(PLANTED);
  const answer = await fetch(`${api.url}/tenants/default/export`);
  const lines = (await answer.text()).split('\n');
  for (const kind of ['run', 'task', 'attempt', 'signal_message', 'document', 'approval', 'schedule', 'incoming_event'])
    expect(
      lines.filter((line) => line.startsWith(`{"kind":"${kind}"`) && line.includes(PLANTED)),
      kind,
    ).not.toEqual([]);
  expect(lines.join('\n')).not.toContain('enc:v1:');
}

const at = (port: number) => openClient(`http://127.0.0.1:${port}`);
/** How many values of each column are sealed with some key. */
async function sealedIn({ db }: Stack, keyId = '', rest = '.*'): Promise<Record<string, number>> {
  const found: Record<string, number> = {};
  for (const [table, { json, text = [] }] of Object.entries(PAYLOAD_COLUMNS)) {
    for (const column of [...json, ...text]) {
      const { rows } = await db.query<{ n: number }>(
        `SELECT count(*)::int AS n FROM ${table} WHERE ${column}::text ~ '^\\{"[$]enc": ?"enc:v1:${keyId}${rest}"'`,
      );
      found[`${table}.${column}`] = rows[0]?.n ?? 0;
    }
  }
  return found;
}

/** As a process of this installation seals it. */
function sealedFor(tenantId: string, value: object): object {
  const seal = createPayloads(createKeyring([NEW]), true, () => 0).seal;
  return { [SEALED_KEY]: seal?.(JSON.stringify(value), tenantId) };
}

describe('encrypted payloads', () => {
  onRedis?.test(
    'are in no store as they are, and are read with their key, a newer one, and no other',
    async ({ api, stack, db }) => {
      const worker = await stack.add('worker');
      const made = await runAll(api);
      await expectReadable(api, made);

      await until(async () => (await sealedIn(stack))['error_group.message'] !== 0, { what: 'failures are counted' });
      await until(async () => (await sealedIn(stack))['task_log.message'] !== 0, { what: 'what was logged is kept' });
      const everything = await dumpStores(stack);
      expect(placesOf(everything, [PLANTED])).toEqual([]);
      // What is there is found: in a table, in Redis; and of each column that is named something is sealed.
      expect(placesOf(everything, [PLAIN])).toContain(`public.run: ${PLAIN}`);
      expect(placesOf(everything, [made.run]).some((place) => place.startsWith('redis '))).toBe(true);
      const sealed = await sealedIn(stack);
      // No message came or goes, nothing came too late, no task failed outside; of a counted failure only its group has it.
      const mayBeEmpty = /^(?:late_effect|task_failure|flow_outbox|flow_dead_letter)\.|^external_task\.error$/;
      expect(Object.keys(sealed).filter((column) => sealed[column] === 0 && !mayBeEmpty.test(column))).toEqual([]);

      // Each names whose it is.
      expect(Object.values(await sealedIn(stack, '', '[^:]*:[^:]*:[^:"]*')).filter((n) => n > 0)).toEqual([]);

      // Of a process that does not encrypt: found, and read beside the others; its cached output is another's.
      const plain = await stack.add('api', { ENCRYPT_PAYLOADS: 'false' });
      const beside = await at(plain.port).run(CHILD, { value: planted('plain') });
      expect(beside).toMatchObject({ output: { inner: { got: planted('plain') } } });
      expect(placesOf(await dumpStores(stack), [PLANTED])).toEqual([`public.run: ${PLANTED}`]);
      await plain.stop();

      // Without the key nothing fails for good, and it is said whose key is missing.
      await worker.stop();
      const waiting = await api.execute(await api.createWorkflow(CHILD), { parameters: { value: planted('later') } });
      const keyless = { SECRETS_KEY: '', ENCRYPT_PAYLOADS: 'false' };
      const blind = await stack.add('worker', keyless);
      await until(() => stack.log.lines.some(({ fields }) => JSON.stringify(fields).includes('SECRETS_KEY of this')), {
        what: 'the worker says what it lacks',
      });
      await blind.stop();
      const unreading = await stack.add('api', keyless);
      expectProblem(await at(unreading.port).get(`/workflows/executions/${made.run}`), 503, 'payload_key_missing');
      expect((await api.execution(waiting)).status).not.toBe('failed');
      await unreading.stop();

      const [old, both] = [createKeyring([OLD]), createKeyring([NEW, OLD])];
      if (old === undefined || both === undefined) throw new Error('there are keys');
      const { moved, failed } = await rotatePayloads(db, both);
      expect(failed).toEqual([]);
      expect(moved).toMatchObject({ run: expect.any(Number), document: 2, signal_message: 1 });
      expect(Object.values(await sealedIn(stack, old.newest)).filter((n) => n > 0)).toEqual([]);
      expect((await rotatePayloads(db, both)).moved).toEqual({});
      // What somebody put there from another tenant is not read: not by the API, and no task fails for it.
      const stolen = sealedFor('another', { value: 'of another' });
      const robbed = await api.execute(await api.createWorkflow(CHILD), { parameters: { value: planted('own') } });
      const setParameters = (id: string, value: object) =>
        db.query('UPDATE run SET parameters = $1::jsonb WHERE id = $2', [JSON.stringify(value), id]);
      await setParameters(robbed, stolen);
      const rotated = { SECRETS_KEY: NEW };
      const [other] = await Promise.all([stack.add('api', rotated), stack.add('worker', rotated)]);
      await expectReadable(at(other.port), made);
      expect(await at(other.port).finished(waiting)).toMatchObject({
        status: 'completed',
        output: { inner: { got: planted('later') } },
        tasks: [expect.objectContaining({ attempts: 1 })],
      });
      expectProblem(await api.get(`/workflows/executions/${waiting}`), 503, 'payload_key_missing');
      await until(() => stack.log.lines.some(({ fields }) => JSON.stringify(fields).includes('for something else')), {
        what: 'the worker says that it does not belong there',
      });
      expectProblem(await at(other.port).get(`/workflows/executions/${robbed}`), 500, 'payload_unreadable');
      await setParameters(robbed, sealedFor('default', { value: planted('own') }));
      expect(await at(other.port).finished(robbed)).toMatchObject({
        output: { inner: { got: planted('own') } },
        tasks: [expect.objectContaining({ attempts: 1 })],
      });
    },
  );
});
