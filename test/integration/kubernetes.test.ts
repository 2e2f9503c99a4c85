/** Kubernetes jobs over HTTP, with a kubectl that keeps a cluster in a folder and checks all that it is given. */
import { randomUUID } from 'node:crypto';
import { afterAll, describe, expect } from 'vitest';
import { accepted, field, openClient } from '../harness/client/client.ts';
import { until } from '../harness/until.ts';
import { ends, fails, isAlive, job, makeCluster } from '../support/cluster.ts';
import { expectProblem, taskOf } from '../support/expect-answers.ts';
import { onBothBackends } from '../support/fixtures.ts';
import { workflow } from '../support/test-task.ts';

const SECRET = 'sesame-3f1c9a77-open';
const ONCE = { retry: { max_attempts: 1 } };
const INSTALLATION = 'orchestrator/installation';
const cluster = makeCluster();
const elsewhere = makeCluster();

afterAll(() => {
  for (const one of [cluster, elsewhere]) {
    expect(one.faults()).toBe('');
    one.remove();
  }
});

const ENVIRONMENT = {
  ...cluster.environment,
  KUBERNETES_NAMESPACES: 'team-a,team-b',
  SECRET_TOKEN: SECRET,
  DATABASE_PASSWORD: 'not for kubectl',
};

describe.each(onBothBackends({ environment: ENVIRONMENT }).slice(0, 1))('kubernetes jobs on $backend', ({ test }) => {
  test('what has the label of this installation and no row is removed by a worker, and nothing else', async ({
    stack,
    db,
  }) => {
    const id = await until(async () => (await db.query<{ id: string }>('SELECT id FROM installation')).rows[0]?.id);
    const labels = { 'app.kubernetes.io/managed-by': 'orchestrator', [INSTALLATION]: id };
    cluster.put('jobs', 'left-behind', labels);
    cluster.put('podgroups', 'left-behind', labels);
    cluster.put('podgroups', 'left-alone', labels);
    cluster.put('jobs', 'of-another-installation', { ...labels, [INSTALLATION]: 'another' });
    cluster.put('podgroups', 'of-somebody-else', { app: 'somebody-else' });
    // Each starts with what is otherwise done each minute.
    const another = await stack.add('worker');
    const left = () => [...cluster.names('jobs'), ...cluster.names('podgroups')].filter((name) => /^left-/.test(name));
    await until(() => left().length === 0);
    await another.stop();
    expect(cluster.names('jobs')).toContain('of-another-installation');
    expect(cluster.names('podgroups')).toContain('of-somebody-else');
  });

  test('a Job is applied with all that the action says, waited for, and what it wrote is the output; its secrets are masked', async ({
    api,
    stack,
  }) => {
    const run = await api.run(
      workflow([
        job({
          job_name: 'Nightly Report: {{run.user_id}}',
          ...{ namespace: 'team-a', queue: 'batch', image: 'registry.test:5000/team/report:1.2', command: ends(600) },
          env: { TOKEN: '{{secrets.TOKEN}}', LEVEL: 3, DRY: false },
          ...{ cpu: '250m', memory: '64Mi', min_member: 1, parallelism: 2, completions: 4 },
          ...{ ttl_seconds_after_finished: 900, wait: true, timeout_seconds: 60 },
        }),
      ]),
    );
    expect(run.status).toBe('completed');
    const output = taskOf(run, 'job').output as { job_name: string; logs: string };
    expect(output).toEqual({
      ...{ status: 'submitted', job_name: expect.stringMatching(/^nightly-report-anonymous-[0-9a-f]{12}$/) },
      ...{ waited: true, logs: expect.stringContaining('registry.test:5000/team/report:1.2 has run') },
    });
    expect(output.logs).toMatch(/TOKEN=\S*\*{3}/);
    const name = output.job_name;
    expect(cluster.object('podgroups', name, 'team-a')).toMatchObject({
      metadata: { labels: { [INSTALLATION]: expect.stringMatching(/^[0-9a-f-]{36}$/) } },
      spec: { minMember: 2, minResources: { cpu: '250m', memory: '64Mi' }, queue: 'batch' },
    });
    expect(cluster.object('jobs', name, 'team-a')).toMatchObject({
      metadata: { annotations: { 'orchestrator/tenant': 'default', 'orchestrator/action': 'job' } },
      spec: {
        ...{ parallelism: 2, completions: 4, ttlSecondsAfterFinished: 900 },
        template: {
          spec: {
            containers: [
              {
                image: 'registry.test:5000/team/report:1.2',
                command: ends(600),
                // In the order of a stored definition.
                env: [
                  { name: 'DRY', value: 'false' },
                  { name: 'LEVEL', value: '3' },
                  { name: 'TOKEN', value: SECRET },
                ],
                resources: { limits: { cpu: '250m', memory: '64Mi' } },
              },
            ],
          },
        },
      },
    });
    expect(cluster.callsOf('wait', name)[0]?.args).toContain('--timeout=60s');
    for (const { args, environment } of cluster.calls()) {
      expect(args.join(' ')).not.toContain(SECRET);
      const known = /^(?:PATH|HOME|KUBECONFIG|KUBECTL_DOUBLE|KUBERNETES_SERVICE_\w+)$/;
      expect(environment.filter((variable) => !known.test(variable))).toEqual([]);
    }
    expect(JSON.stringify(stack.log.lines)).not.toContain(SECRET);
    expect((await api.get(`/workflows/executions/${run.execution_id}/logs`)).text).not.toContain(SECRET);
    expect(JSON.stringify(await api.execution(run.execution_id))).not.toContain(SECRET);
  });

  test('what an action leaves out comes from the settings; the end of many logs is kept, from the start of a line', async ({
    api,
  }) => {
    const output = taskOf(await api.run(workflow([job({ command: ends(0, 5_000) })])), 'job').output as {
      job_name: string;
      logs: string;
    };
    expect(output.job_name).toMatch(/^job-[0-9a-f]{12}$/);
    expect(Buffer.byteLength(output.logs)).toBeLessThanOrEqual(256 * 1024);
    expect(Buffer.byteLength(output.logs)).toBeGreaterThan(255 * 1024);
    expect(output.logs).toMatch(/^line \d+ of many/);
    expect(output.logs).toMatch(/python:3\.11-slim has run\n$/);
    expect(cluster.object('jobs', output.job_name)).toMatchObject({
      spec: {
        ...{ parallelism: 1, completions: 1, ttlSecondsAfterFinished: 3600 },
        template: {
          metadata: { annotations: { 'volcano.sh/queue-name': 'interactive' } },
          spec: { containers: [{ env: [], resources: { requests: { cpu: '500m', memory: '512Mi' } } }] },
        },
      },
    });
    expect(cluster.callsOf('wait', output.job_name)[0]?.args).toContain('--timeout=300s');
  });

  test('without waiting it completes at once; the row stays until the cluster has removed the Job, and then the PodGroup goes', async ({
    api,
    db,
    stack,
  }) => {
    const run = await api.run(workflow([job({ command: ends(3_600_000), wait: false })]));
    const { job_name: name, ...output } = taskOf(run, 'job').output as { job_name: string };
    expect(output).toEqual({ status: 'submitted', waited: false, logs: null });
    expect([...cluster.callsOf('wait', name), ...cluster.callsOf('logs', name)]).toEqual([]);
    const rows = async () => (await db.query('SELECT FROM kubernetes_job WHERE name = $1', [name])).rowCount;
    expect(await rows()).toBe(1);
    cluster.expire(name);
    const another = await stack.add('worker');
    await until(async () => (await rows()) === 0);
    expect(cluster.names('podgroups')).not.toContain(name);
    await another.stop();
  });

  test('a Job that fails is noticed long before its time is over; the next attempt removes it and applies it again', async ({
    api,
  }) => {
    const retry = { max_attempts: 2, backoff: 'fixed', initial_delay_seconds: 0.1 };
    const failing = job({ command: fails(100), timeout_seconds: 86_400 }, { retry, timeout_seconds: 86_400 });
    const run = await api.run(workflow([failing]));
    const task = taskOf(run, 'job');
    expect(task).toMatchObject({ status: 'failed', attempts: 2, error: { code: 'job_failed' } });
    const { message } = task.error as { message: string };
    expect(message).toContain('BackoffLimitExceeded: Job has reached the specified backoff limit');
    expect(message).toContain('python:3.11-slim has run');
    const name = /the Job (\S+) has failed/.exec(message)?.[1] ?? '';
    await until(() => !cluster.names('jobs').includes(name) && !cluster.names('podgroups').includes(name));
    const verbs = cluster.calls().flatMap(({ args }) => (args[1] === `job/${name}` ? [args[0]] : []));
    // In the second attempt before it is applied, and when the task has ended.
    expect(verbs.filter((verb) => verb === 'delete').length).toBeGreaterThanOrEqual(2);
  });

  test('a Job that does not complete in its time is a timeout, and is removed when the task has failed', async ({
    api,
  }) => {
    const run = await api.run(workflow([job({ job_name: 'slow', command: ends(3_600_000), timeout_seconds: 1 })]));
    expect(taskOf(run, 'job')).toMatchObject({ status: 'failed', error: { code: 'timeout' } });
    await until(() => !cluster.names('jobs').some((name) => name.startsWith('slow-')));
  });

  test('what the cluster rejects is in the error, and is not tried again', async ({ api }) => {
    const run = await api.run(workflow([job({ command: ['refused'] }, {})]));
    expect(taskOf(run, 'job')).toMatchObject({
      ...{ status: 'failed', attempts: 1 },
      error: { code: 'job_failed', message: expect.stringContaining('jobs.batch is forbidden: exceeded quota') },
    });
  });

  test('a kubectl that hangs is killed at the deadline, with what it has started', async ({ api }) => {
    const run = await api.run(workflow([job({ command: ['stuck'] }, { ...ONCE, timeout_seconds: 2 })]));
    expect(taskOf(run, 'job')).toMatchObject({ status: 'failed', error: { code: 'timeout' } });
    const pids = cluster.stuck();
    expect(pids.length).toBe(2);
    await until(() => pids.every((pid) => !isAlive(pid)));
  });

  test('a cancelled execution takes its Jobs and PodGroups out of the cluster, also those that it does not wait for', async ({
    api,
    db,
  }) => {
    const sent = job({ job_name: 'sent', command: ends(3_600_000), wait: false }, { action_id: 'sent' });
    const waits = job({ job_name: 'cancelled', command: ends(3_600_000) }, { depends_on: ['sent'] });
    const id = await api.createWorkflow(workflow([sent, waits]));
    const run = await api.execute(id);
    const name = await until(() => cluster.names('jobs').find((one) => one.startsWith('cancelled-')));
    await until(() => cluster.callsOf('wait', name).length === 1);
    accepted(await api.post(`/workflows/executions/${run}/cancel`, {}), 202);
    expect((await api.finished(run)).status).toBe('cancelled');
    const all = () => [...cluster.names('jobs'), ...cluster.names('podgroups')];
    await until(() => !all().some((one) => one === name || one.startsWith('sent-')));
    await until(async () => (await db.query('SELECT FROM kubernetes_job WHERE run_id = $1', [run])).rowCount === 0);
    const [wait] = cluster.callsOf('wait', name);
    await until(() => wait !== undefined && !isAlive(wait.pid));
  });

  test('names, images, quantities and secrets are checked with the definition, each with its field', async ({
    api,
  }) => {
    const wrong = {
      ...{ job_name: '-n', namespace: '--all', queue: '-q', image: '-i', cpu: '-1', memory: '12 Gigs' },
      ...{ command: 'python -V', env: { 'A B': 'c' }, min_member: 0, parallelism: 1.5, completions: -1 },
      ...{ ttl_seconds_after_finished: -1, wait: 'yes', timeout_seconds: 0, service_account: 'admin' },
    };
    for (const [name, value] of Object.entries(wrong)) {
      const answer = await api.post('/workflows', workflow([job({ [name]: value })]));
      expectProblem(answer, 422, 'definition_invalid');
      const { errors } = answer.body as { errors: { path: string }[] };
      expect(errors[0]?.path, name).toMatch(new RegExp(`^actions\\.0\\.config(?:\\.${name}.*)?$`));
    }
    const unknown = await api.post('/workflows', workflow([job({ namespace: 'kube-system' })]));
    expectProblem(unknown, 422, 'definition_invalid');
    expect(unknown.body).toMatchObject({ errors: [{ path: 'actions.0.config.namespace' }] });
    const secret = await api.post('/workflows', workflow([job({ command: ['{{secrets.TOKEN}}'] })]));
    expectProblem(secret, 422, 'definition_invalid');
    expect(secret.text).toContain('only env may hold secrets');
  });

  test('and with a task', async ({ api }) => {
    const wrong = await api.post('/assign-task', { task_type: 'kubernetes_job', params: { image: '-i' } });
    expectProblem(wrong, 400, 'invalid_request');
    expect(wrong.body).toMatchObject({ errors: [{ path: 'params.image' }] });
  });

  test('they are checked again when templates are filled, before anything is run', async ({ api }) => {
    const before = cluster.calls().length;
    const parameters = [{ name: 'value', type: 'string' }];
    for (const [name, value] of Object.entries({ namespace: 'kube-system', image: '--privileged', cpu: '0' })) {
      const id = await api.createWorkflow(workflow([job({ [name]: '{{value}}' })], { parameters }));
      const run = await api.finished(await api.execute(id, { parameters: { value } }));
      expect(taskOf(run, 'job')).toMatchObject({
        error: { code: 'input_invalid', message: expect.stringContaining(`${name}: `) },
      });
    }
    const verbs = cluster.calls().slice(before);
    expect(verbs.filter(({ args }) => args[0] === 'apply' || args[0] === 'wait')).toEqual([]);
  });

  test('what a tenant has of Jobs is exported, shown to nobody else, and leaves the cluster when its data is erased', async ({
    api,
    stack,
  }) => {
    const as = (tenant: string) => openClient(api.url, { 'X-Tenant-ID': tenant });
    const run = await as('gone').run(workflow([job({ command: ends(3_600_000), wait: false })]));
    const { job_name: name } = taskOf(run, 'job').output as { job_name: string };
    await as('stays').run(workflow([job({ command: ends(0) })]));
    // JSON lines.
    const exportOf = async (tenant: string) =>
      (await fetch(`${api.url}/tenants/${tenant}/export`, { headers: { 'X-Tenant-ID': tenant } })).text();
    expect(await exportOf('gone')).toMatch(new RegExp(`"kubernetes_job".*"name":"${name}"`));
    expect(await exportOf('stays')).toContain('"kubernetes_job"');
    expect(await exportOf('stays')).not.toContain(name);
    accepted(await as('gone').send('DELETE', '/tenants/gone/data?force=true'), 202);
    const rows = `SELECT FROM kubernetes_job WHERE tenant_id = 'gone'`;
    await until(async () => (await stack.db.query(rows)).rowCount === 0);
    const another = await stack.add('worker');
    await until(() => !cluster.names('jobs').includes(name) && !cluster.names('podgroups').includes(name));
    await another.stop();
  });

  test('a task of its own runs a Job too', async ({ api }) => {
    const id = await api.assign({ task_type: 'kubernetes_job', params: { job_name: 'single', command: ends(0) } });
    expect(await api.ended(id)).toMatchObject({ status: 'completed', result: { status: 'submitted', waited: true } });
  });

  test('who may not run Jobs saves no definition, template or task with one', async ({ api, stack }) => {
    const root = `root-${randomUUID()}`;
    const { port } = await stack.add('api', { API_KEY: root });
    const open = (key: string) => openClient(`http://127.0.0.1:${port}`, { 'X-API-Key': key });
    const key = async (scopes: string[]) =>
      open(
        field(
          accepted(await open(root).post('/api-keys', { name: randomUUID(), roles: ['editor'], scopes }), 201),
          'key',
        ),
      );
    const without = await key(['workflows:*', 'executions:*']);
    const withIt = await key(['workflows:*', 'executions:*', 'kubernetes:run']);
    const definition = workflow([job({ command: ends(0) })]);
    const compensation = { compensate: { action_type: 'kubernetes_job', config: {} } };
    const compensating = workflow([{ action_id: 'a', action_type: 'test_task', config: {}, ...compensation }]);
    const task = { task_type: 'kubernetes_job', params: { command: ends(0) } };
    expectProblem(await without.post('/workflows', definition), 403, 'forbidden');
    expectProblem(await without.post('/workflows', compensating), 403, 'forbidden');
    expectProblem(await without.put('/workflows/templates/jobs', definition), 403, 'forbidden');
    expectProblem(await without.post('/assign-task', task), 403, 'forbidden');
    const many = accepted(await without.post('/assign-tasks', { tasks: [task] }), 202);
    expect(many.body).toMatchObject({ items: [{ error: { code: 'forbidden' } }] });
    const id = await withIt.createWorkflow(definition);
    const change = await without.put(`/workflows/${id}`, { description: 'still with a Job' });
    expectProblem(change, 403, 'forbidden');
    expect(change.text).toContain('kubernetes:run');
    // Who may start what others have written may start this too.
    expect((await without.finished(await without.execute(id))).status).toBe('completed');
    expect(await api.ended(await withIt.assign(task))).toMatchObject({ status: 'completed' });
  });
});

describe.each(
  onBothBackends({ environment: { ...elsewhere.environment, ENABLE_VOLCANO_SCHEDULER: 'false' } }).slice(0, 1),
)('kubernetes jobs that are not enabled on $backend', ({ test }) => {
  test('complete as disabled, and kubectl is not run', async ({ api }) => {
    const run = await api.run(workflow([job({ command: ends(0) })]));
    expect(taskOf(run, 'job')).toMatchObject({ status: 'completed', output: { status: 'disabled' } });
    expect(elsewhere.calls()).toEqual([]);
  });
});

describe.each(
  onBothBackends({ environment: { ...elsewhere.environment, KUBECTL_BINARY: '/nowhere/kubectl' } }).slice(0, 1),
)('kubernetes jobs without kubectl on $backend', ({ test }) => {
  test('fail, and may be tried again', async ({ api }) => {
    const retry = { max_attempts: 2, backoff: 'fixed', initial_delay_seconds: 0.1 };
    const run = await api.run(workflow([job({ command: ends(0) }, { retry })]));
    expect(taskOf(run, 'job')).toMatchObject({
      ...{ status: 'failed', attempts: 2 },
      error: { code: 'upstream_error', message: expect.stringContaining('kubectl cannot be run') },
    });
  });
});
