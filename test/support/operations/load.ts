/** A steady small load of runs whose outcome is known beforehand, by clients that insist until a run is accepted. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Promised } from '../checker/promises.ts';
import { accepted, field, openClient } from '../client.ts';
import { promiseOf } from '../faults/promise-of.ts';
import { createWorkflowOf } from '../model/create.ts';
import { requestOf } from '../model/definition.ts';
import type { Plot, Step, Work } from '../model/forms.ts';
import { openOutside } from '../model/outside.ts';
import { type Asking, problemOf } from './ask.ts';
import type { Installation } from './installation.ts';

const EVERY_MS = 400;
const AGAIN_MS = 500;
/** Not yet: the same request again. */
const LATER: ReadonlySet<number> = new Set([429, 503]);

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
const step = (id: string, after: string[], work: Work, more: Partial<Step> = {}): Step => ({
  ...{ id, after, naming: 'declared', runIf: 'all_succeeded', when: undefined, onFailure: 'fail', maxAttempts: 1 },
  ...{ delayMs: undefined, priority: undefined, cached: false, undone: undefined, work },
  ...more,
});
const plot = (...steps: Step[]): Plot => ({
  ...{
    steps,
    output: 'of_the_last',
    endedBy: 'cancellation',
    paused: false,
    limited: false,
    deduped: undefined,
    rounds: 1,
  },
});

const SMALL = plot(step('inner', [], call(31)));
/** Of a schedule. */
const SMALL_AGAIN = plot(step('inner', [], call(32)));
/** Of slots that have passed, no older ones are begun. */
export const CATCH_UP_SECONDS = 10;
/** Its first call takes so long that a fault finds it at work. */
const LONG = plot(step('a', [], call(1, { workMs: 2_000 })), step('b', ['a'], call(2)));
const PLOTS: readonly Plot[] = [
  plot(step('a', [], call(1)), step('b', ['a'], call(2)), step('c', ['b'], call(3))),
  // Crossed: what gates are for.
  plot(
    ...[step('a', [], call(1)), step('b', ['a'], call(2)), step('c', ['a'], call(3))],
    ...[step('d', ['b', 'c'], call(4)), step('e', ['b', 'c'], call(5)), step('f', ['b', 'c'], call(6))],
  ),
  plot(step('pause', [], { kind: 'wait', ms: 1_500 }), step('after', ['pause'], call(7))),
  plot(step('flaky', [], call(8, { behave: 'flaky' }), { maxAttempts: 2 }), step('next', ['flaky'], call(9))),
  plot(step('fails', [], call(10, { behave: 'fail' })), step('never', ['fails'], call(11))),
  plot(
    step('each', [], {
      ...{ kind: 'items', items: ['succeed', 'succeed', 'succeed'], given: 'literal' },
      ...{ maxParallel: 2, onItemFailure: 'fail' },
    }),
    step('after', ['each'], call(12)),
  ),
  plot(step('child', [], { kind: 'child', plot: SMALL, alone: false }), step('after', ['child'], call(13))),
  plot(
    step('asks', [], { kind: 'approval', decided: 'approved', onTimeout: 'fail', onReject: 'fail' }),
    step('after', ['asks'], call(14)),
  ),
  plot(step('hears', [], { kind: 'signal', n: 15, comes: 'late', onTimeout: 'fail' })),
  plot(step('done', [], call(16), { undone: 'succeed' }), step('fails', ['done'], call(17, { behave: 'fail' }))),
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
