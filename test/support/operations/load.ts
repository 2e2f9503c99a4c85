/** A steady small load of runs whose outcome is known beforehand, by clients that insist until a run is accepted. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Promised } from '../../harness/checker/promises.ts';
import { accepted, field, openClient } from '../../harness/client/client.ts';
import { LATER } from '../../harness/client/insist.ts';
import { promiseOf } from '../faults/promise-of.ts';
import { createWorkflowOf } from '../model/create.ts';
import { requestOf } from '../model/definition.ts';
import type { Plot, Work } from '../model/forms.ts';
import { openOutside } from '../model/outside.ts';
import { plainPlot, plainStep } from '../model/plain.ts';
import { type Asking, problemOf } from './ask.ts';
import type { Installation } from './installation.ts';

const EVERY_MS = 400;
const AGAIN_MS = 500;

export interface SteadyLoad {
  promised: readonly Promised[];
  /** The ids of the runs that were accepted. */
  accepted(): string[];
  /** Answers that no client should ever get. */
  surprises: readonly string[];
  /** What was said when an answer was 'not yet'. */
  refused: readonly string[];
  /** One of `LONG` more, at once: a run that is under way for a while. */
  beginLong(): Promise<string>;
  /** A schedule begins a run every so often, until the load stops; how many there are is asked of the database. */
  beginSchedule(everySeconds: number): Promise<() => Promise<number>>;
  /** No more runs are begun; resolves when every request has been accepted. */
  stop(): Promise<void>;
  /** The outside of the runs, which answers and approves, ends with them. */
  close(): Promise<void>;
}

const call = (n: number, more: Partial<Extract<Work, { kind: 'call' }>> = {}): Work => ({
  ...{ kind: 'call', n, behave: 'succeed', workMs: 60 },
  ...more,
});
const SMALL = plainPlot(plainStep('inner', [], call(31)));
/** Of a schedule. */
const SMALL_AGAIN = plainPlot(plainStep('inner', [], call(32)));
/** Of slots that have passed, no older ones are begun. */
export const CATCH_UP_SECONDS = 10;
/** Its first call takes so long that a fault finds it at work. */
const LONG = plainPlot(plainStep('a', [], call(1, { workMs: 2_000 })), plainStep('b', ['a'], call(2)));
const PLOTS: readonly Plot[] = [
  plainPlot(plainStep('a', [], call(1)), plainStep('b', ['a'], call(2)), plainStep('c', ['b'], call(3))),
  // Crossed: what gates are for.
  plainPlot(
    ...[plainStep('a', [], call(1)), plainStep('b', ['a'], call(2)), plainStep('c', ['a'], call(3))],
    ...[plainStep('d', ['b', 'c'], call(4)), plainStep('e', ['b', 'c'], call(5)), plainStep('f', ['b', 'c'], call(6))],
  ),
  plainPlot(plainStep('pause', [], { kind: 'wait', ms: 1_500 }), plainStep('after', ['pause'], call(7))),
  plainPlot(
    plainStep('flaky', [], call(8, { behave: 'flaky' }), { maxAttempts: 2 }),
    plainStep('next', ['flaky'], call(9)),
  ),
  plainPlot(plainStep('fails', [], call(10, { behave: 'fail' })), plainStep('never', ['fails'], call(11))),
  plainPlot(
    plainStep('each', [], {
      ...{ kind: 'items', items: ['succeed', 'succeed', 'succeed'], given: 'literal' },
      ...{ maxParallel: 2, onItemFailure: 'fail' },
    }),
    plainStep('after', ['each'], call(12)),
  ),
  plainPlot(
    plainStep('child', [], { kind: 'child', plot: SMALL, alone: false }),
    plainStep('after', ['child'], call(13)),
  ),
  plainPlot(
    plainStep('asks', [], { kind: 'approval', decided: 'approved', onTimeout: 'fail', onReject: 'fail' }),
    plainStep('after', ['asks'], call(14)),
  ),
  plainPlot(plainStep('hears', [], { kind: 'signal', n: 15, comes: 'late', onTimeout: 'fail' })),
  plainPlot(
    plainStep('done', [], call(16), { undone: 'succeed' }),
    plainStep('fails', ['done'], call(17, { behave: 'fail' })),
  ),
];

export async function startLoad({ apiUrl, db, service }: Installation, asking: Asking): Promise<SteadyLoad> {
  const client = openClient(apiUrl);
  const workflowIds = new Map<Plot, string>();
  for (const one of [...PLOTS, LONG, SMALL_AGAIN])
    workflowIds.set(one, await createWorkflowOf(one, client, service.url));
  const promised: Promised[] = [];
  const surprises: string[] = [];
  const refused: string[] = [];
  let going = true;
  let number = 0;
  const outside = openOutside({
    db,
    patient: true,
    async post(path, body, headers) {
      const answer = await asking.post(path, body, headers);
      if (answer !== undefined && answer.status >= 500) judge(path, answer);
      return answer;
    },
  });

  function judge(path: string, answer: NonNullable<Awaited<ReturnType<Asking['post']>>>): void {
    const fault = problemOf(answer);
    if (fault !== undefined) surprises.push(`${path}: ${fault}`);
  }

  async function live(of: Plot): Promise<string> {
    number += 1;
    const idempotencyKey = `load-${number}`;
    const promise: Promised = { ...promiseOf(of), idempotencyKey, runIds: [], cancelled: false, retried: false };
    promised.push(promise);
    const path = `/workflows/${workflowIds.get(of)}/execute`;
    for (;;) {
      const answer = await asking.post(path, requestOf(of, idempotencyKey), { 'idempotency-key': idempotencyKey });
      if (answer !== undefined) {
        judge(path, answer);
        if (answer.status === 202) {
          const { execution_id: id } = answer.body as { execution_id: string }; // As the document has it.
          promise.runIds.push(id);
          await outside.attend(id, of);
          return id;
        }
        if (!LATER.has(answer.status)) throw new Error(`${path} answered ${answer.status}: ${answer.text}`);
        refused.push(`${answer.status} ${(answer.body as { detail?: string }).detail}`); // A problem document has one.
      }
      await sleep(AGAIN_MS);
    }
  }

  async function insistOnDeleting(path: string): Promise<void> {
    for (;;) {
      const answer = await client.send('DELETE', path);
      judge(path, answer);
      if (!LATER.has(answer.status)) return void accepted(answer, 204);
      await sleep(AGAIN_MS);
    }
  }
  const schedules: string[] = [];
  const scheduledKeys = async () => {
    const { rows } = await db.query<{ id: string; idempotency_key: string }>(
      `SELECT id, idempotency_key FROM run WHERE idempotency_key LIKE 'schedule:%'`,
    );
    return rows;
  };

  const lives: Array<Promise<unknown>> = [];
  const begun = (async () => {
    for (let n = 0; going; n += 1) {
      const next = PLOTS[n % PLOTS.length];
      if (next !== undefined) lives.push(live(next).catch((error: unknown) => surprises.push(String(error))));
      await sleep(EVERY_MS);
    }
  })();
  return {
    promised,
    surprises,
    accepted: () => promised.flatMap(({ runIds }) => runIds.slice(0, 1)),
    refused,
    beginLong: () => live(LONG),
    async beginSchedule(everySeconds) {
      const fields = { name: 'often', workflow_id: workflowIds.get(SMALL_AGAIN), interval_seconds: everySeconds };
      const answer = await client.post('/schedules', {
        ...fields,
        catchup_window_seconds: CATCH_UP_SECONDS,
        overlap: 'allow',
      });
      schedules.push(field(accepted(answer, 201), 'schedule_id'));
      return async () => (await scheduledKeys()).length;
    },
    async stop() {
      going = false;
      for (const id of schedules) await insistOnDeleting(`/schedules/${id}`);
      await begun;
      await Promise.all(lives);
      // Somebody asked for these too, in so many words.
      for (const { id, idempotency_key: idempotencyKey } of await scheduledKeys())
        promised.push({ ...promiseOf(SMALL_AGAIN), idempotencyKey, runIds: [id], cancelled: false, retried: false });
    },
    async close() {
      going = false;
      await outside.close();
    },
  };
}
