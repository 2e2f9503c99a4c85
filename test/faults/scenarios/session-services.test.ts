/** Sessions with a token and a Kubernetes job whose worker is killed: each is there once, and the session ends as without it. */
import { afterAll, describe, expect } from 'vitest';
import { type IdentityService, startIdentityService } from '../../harness/services/identity-service.ts';
import { until } from '../../harness/until.ts';
import { ends, fails, isAlive, makeCluster } from '../../support/cluster.ts';
import { onBothBackendsInProcesses } from '../../support/processes.ts';
import { hasEnded, ONE_AT_A_TIME } from '../../support/scenario.ts';
import { endedSession, type Session, startSession } from '../../support/sessions.ts';

const identity: IdentityService = await startIdentityService();
const cluster = makeCluster();

afterAll(async () => {
  expect(cluster.faults()).toBe('');
  cluster.remove();
  await identity.close();
});

// The API has none of it, so that it takes requests without credentials.
const WORKER = { ...ONE_AT_A_TIME, IDENTITY_SERVICE_URL: identity.url, IDENTITY_TIMEOUT_MS: '20000' };
const TOKEN = { expires_in: 900, token_type: 'bearer' };

const jobsOf = (id: string) => cluster.names('jobs').filter((name) => name.startsWith(`session-${id}-`));
const tokensOf = (runId: string) => [...identity.issued.keys()].filter((key) => key.startsWith(`${runId}.`));

function expectWhole(session: Session, id: string): void {
  const [job] = jobsOf(id);
  expect(session).toMatchObject({
    status: 'completed',
    result: {
      ...{ status: 'completed', token: TOKEN, slm_response: { simulated: true } },
      volcano_job: { status: 'submitted', job_name: job, waited: true, logs: expect.stringContaining('has run') },
    },
  });
}

const [onRedis] = onBothBackendsInProcesses({ environment: { ...cluster.environment } });
describe.each([onRedis].filter((one) => one !== undefined))(
  'services of sessions of a killed worker on $backend',
  ({ test }) => {
    const STEPS = [1, 2, 3, 4, 5, 6] as const;
    test.for([
      ...STEPS.map((nth) => ['worker.afterExecute', nth] as const),
      ...STEPS.map((nth) => ['commit.afterReply', nth] as const),
      ['kubernetes.beforeApply', 1],
      ['kubernetes.afterApply', 1],
    ] as const)(
      'a worker that is killed at %s of step %i leaves one token and one Job',
      async ([failpoint, nth], { api, processes, db }) => {
        const id = `kill-${failpoint.replaceAll(/\W/g, '-').toLowerCase()}-${nth}`;
        await processes.compose('api');
        const first = await processes.start('worker', { ...WORKER, FAILPOINTS: `${failpoint}:exit@${nth}` });
        const metadata = { session_id: id, volcano_command: ends(300) };
        const { run_id: runId } = await startSession(api, { metadata });
        await hasEnded(first);
        await processes.compose('worker', WORKER);
        expectWhole(await endedSession(api, id), id);
        expect(tokensOf(runId)).toEqual([`${runId}.1.token`]);
        expect(jobsOf(id)).toHaveLength(1);
        const { rows } = await db.query('SELECT action FROM audit_entry WHERE resource_id = $1', [id]);
        expect(rows).toEqual([{ action: 'session.completed' }]);
        const { tasks } = await api.execution(runId);
        for (const { action_id: action, status, attempts_history: attempts } of tasks)
          if (status === 'completed') expect(attempts, action).toMatchObject([{ attempt: 1, status: 'completed' }]);
      },
    );

    test('a worker that is killed after the identity service answered and before the commit has the token issued once', async ({
      api,
      processes,
      db,
    }) => {
      await processes.compose('api');
      const first = await processes.start('worker', WORKER);
      // It dies with the answer under way to it, so nothing of that is committed.
      identity.answer((call) => {
        const reply = identity.reply(call);
        if (first.isAlive()) {
          process.kill(first.pid, 'SIGKILL');
          return undefined;
        }
        return reply;
      });
      const calls = identity.wanted().length;
      const { run_id: runId } = await startSession(api, {
        metadata: { session_id: 'answered', volcano_command: ends(0) },
      });
      await hasEnded(first);
      expect(tokensOf(runId)).toHaveLength(1);
      const { rows } = await db.query<{ final: boolean }>(
        `SELECT final FROM task WHERE run_id = $1 AND action_id = 'token'`,
        [runId],
      );
      expect(rows.some(({ final }) => final)).toBe(false);
      identity.behave();
      await processes.compose('worker', WORKER);
      expectWhole(await endedSession(api, 'answered'), 'answered');
      expect(tokensOf(runId)).toHaveLength(1);
      // It was asked twice, with one key.
      expect(identity.wanted()).toHaveLength(calls + 2);
    });

    test('a worker that is killed while its Job runs leaves it to the next one, which waits for the same', async ({
      api,
      processes,
    }) => {
      await processes.compose('api');
      const first = await processes.start('worker', WORKER);
      const metadata = { session_id: 'running', volcano_command: ends(3_000) };
      const { run_id: runId } = await startSession(api, { metadata });
      const job = await until(() => jobsOf('running')[0]);
      await until(() => cluster.callsOf('wait', job).length === 1);
      const applied = cluster.callsOf('apply').length;
      await first.end('SIGKILL');
      await processes.compose('worker', WORKER);
      expectWhole(await endedSession(api, 'running'), 'running');
      expect(jobsOf('running')).toEqual([job]);
      expect(cluster.callsOf('apply')).toHaveLength(applied);
      expect(tokensOf(runId)).toHaveLength(1);
      // Nobody ended this one with its worker.
      for (const { pid } of cluster.callsOf('wait', job)) if (isAlive(pid)) process.kill(pid, 'SIGKILL');
    });

    test.for([
      ['fails', fails(0), 'job_failed'],
      ['is rejected by the cluster', ['refused'], 'job_failed'],
    ] as const)(
      'a Job that %s fails nothing else of its session',
      async ([what, command, code], { api, processes }) => {
        await processes.compose('api');
        await processes.compose('worker', WORKER);
        const id = what.replaceAll(' ', '-');
        const { run_id: runId } = await startSession(api, { metadata: { session_id: id, volcano_command: command } });
        expect(await endedSession(api, id)).toMatchObject({
          status: 'completed',
          result: { status: 'completed', token: TOKEN, volcano_job: { status: 'failed' } },
        });
        const { tasks } = await api.execution(runId);
        expect(tasks.find(({ action_id }) => action_id === 'job')).toMatchObject({ status: 'failed', error: { code } });
        expect(tokensOf(runId)).toHaveLength(1);
      },
    );
  },
);
