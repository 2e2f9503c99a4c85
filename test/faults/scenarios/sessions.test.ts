/** Sessions whose worker is killed between two of their steps, or between an answer of a service and its commit. */
import { describe, expect } from 'vitest';
import { accepted } from '../../harness/client/client.ts';
import type { Service } from '../../harness/services/service.ts';
import { until } from '../../harness/until.ts';
import { onBothBackendsInProcesses } from '../../support/processes.ts';
import { register } from '../../support/registered.ts';
import { hasEnded, ONE_AT_A_TIME } from '../../support/scenario.ts';
import { act, completionOf, endedSession, readSession, startSession } from '../../support/sessions.ts';

const [onRedis] = onBothBackendsInProcesses();
/** Completes each key once, as a service does that honours it, and says which key that was. */
function completing(service: Service): Map<string, number> {
  const completed = new Map<string, number>();
  service.answer(({ idempotencyKey: key = '' }) => {
    if (!completed.has(key)) completed.set(key, completed.size + 1);
    return { body: completionOf(`completion ${completed.get(key)}`) };
  });
  return completed;
}

describe.each([onRedis].filter((one) => one !== undefined))('sessions of a killed worker on $backend', ({ test }) => {
  test.for([
    ['worker.afterExecute', 1],
    ['worker.afterExecute', 2],
    ['worker.afterExecute', 3],
    ['worker.afterExecute', 4],
    ['worker.afterExecute', 5],
    ['commit.afterReply', 1],
    ['commit.afterReply', 2],
    ['commit.afterReply', 3],
    ['commit.afterReply', 4],
    ['commit.afterReply', 5],
  ] as const)(
    'a worker that is killed at %s of step %i leaves a session that ends as without it',
    async ([failpoint, nth], { api, processes, service, db }) => {
      const completed = completing(service);
      await processes.compose('api');
      await register(api, { llm_gateway: service.url });
      const first = await processes.start('worker', { ...ONE_AT_A_TIME, FAILPOINTS: `${failpoint}:exit@${nth}` });
      const { session_id: id, run_id: runId } = await startSession(api);
      await hasEnded(first);
      await processes.compose('worker', ONE_AT_A_TIME);
      expect(await endedSession(api, id)).toMatchObject({
        status: 'completed',
        result: { status: 'completed', slm_response: { completion: 'completion 1' } },
      });
      expect([...completed.keys()]).toEqual([`${runId}.1.completion`]);
      const { rows } = await db.query(`SELECT details ->> 'audit_id' AS id FROM audit_entry WHERE resource_id = $1`, [
        id,
      ]);
      expect(rows).toHaveLength(1);
      const { tasks } = await api.execution(runId);
      for (const { action_id, status, attempts_history } of tasks) {
        if (status === 'completed')
          expect(attempts_history, action_id).toMatchObject([{ attempt: 1, status: 'completed' }]);
      }
    },
  );

  test.for([['worker.afterExecute'], ['commit.afterReply'], ['parts.afterWrite']])(
    'a worker that is killed at %s of a round of a session answers its message once',
    async ([failpoint], { api, processes, service }) => {
      const completed = completing(service);
      await processes.compose('api');
      await register(api, { llm_gateway: service.url });
      const opening = await processes.start('worker', ONE_AT_A_TIME);
      const { session_id: id, run_id: runId } = await startSession(api, { metadata: { keep_open: true } });
      const roundsAre = (count: number) =>
        until(async () => {
          const { result } = await readSession(api, id);
          return (result as { rounds?: number } | null)?.rounds === count;
        });
      await roundsAre(0);
      await opening.end('SIGKILL');
      const killed = await processes.start('worker', { ...ONE_AT_A_TIME, FAILPOINTS: `${failpoint}:exit` });
      accepted(await act(api, id, 'message', { payload: { prompt: 'one' } }), 202);
      await hasEnded(killed);
      accepted(await act(api, id, 'message', { payload: { prompt: 'two' } }), 202);
      await processes.compose('worker', ONE_AT_A_TIME);
      await roundsAre(2);
      expect([...completed.keys()]).toEqual([`${runId}.1.completion`, `${runId}.1.rounds[0]`, `${runId}.1.rounds[1]`]);
      accepted(await act(api, id, 'cancel'), 202);
      expect(await endedSession(api, id)).toMatchObject({
        status: 'canceled',
        result: { rounds: 2, slm_response: { completion: 'completion 3', prompt_summary: 'two' } },
      });
    },
  );
});
