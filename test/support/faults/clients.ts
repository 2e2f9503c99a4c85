/**
 * Clients that do what is promised to work: they repeat a request that was not answered, or answered with 503 or 429, with
 * the same idempotency key, and remember every answer of 202.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import type { Promised } from '../../harness/checker/promises.ts';
import { type Answer, field, type Headings, openClient } from '../../harness/client/client.ts';
import { insist, post } from '../../harness/client/insist.ts';
import { createWorkflowOf } from '../model/create.ts';
import { requestOf as requestOfRun } from '../model/definition.ts';
import { openOutside } from '../model/outside.ts';
import { type Load, type PlannedRun, plotOf, promiseOfRun, requestOf } from './load.ts';

export interface Clients {
  promised: Promised[];
  /** Answers that no client should ever get. */
  surprises: string[];
  /** Resolves when every request has been answered for good. */
  done: Promise<void>;
  /** Ends the outside of all runs; until then it does what their plots say. */
  close(): Promise<void>;
}

const AGAIN_MS = 250;

export async function createWorkflows(apiUrl: string, load: Load, serviceUrl: string): Promise<string[]> {
  const client = openClient(apiUrl);
  const ids: string[] = [];
  for (const plot of load.workflows) ids.push(await createWorkflowOf(plot, client, serviceUrl));
  return ids;
}

export function startClients(options: {
  apiUrl: string;
  load: Load;
  workflowIds: readonly string[];
  serviceUrl: string;
  /** performance.now() of the beginning of the load. */
  from: number;
  /** No request is repeated after that. */
  giveUpMs: number;
  /** Past every door: to see what a run is waiting for. */
  db: pg.Pool;
}): Clients {
  const { apiUrl, load, workflowIds, serviceUrl, from, giveUpMs, db } = options;
  const promised: Promised[] = [];
  const surprises: string[] = [];

  /** The first answer that is not 503 or 429; undefined when there was none in time. */
  async function insistOn(path: string, body: object, key?: string): Promise<Answer | undefined> {
    const headers: Headings = key === undefined ? {} : { 'idempotency-key': key };
    return insist(() => post(`${apiUrl}${path}`, body, headers), { everyMs: AGAIN_MS, giveUpAt: from + giveUpMs });
  }
  const expectOneOf = (answer: Answer | undefined, path: string, statuses: readonly number[]) => {
    if (answer !== undefined && !statuses.includes(answer.status))
      surprises.push(`${path} answered ${answer.status}: ${answer.text.slice(0, 300)}`);
  };

  // Nobody insists: as long as it is time for it, it is asked for again.
  const outside = openOutside({
    db,
    patient: true,
    post: (path, body, headers) => post(`${apiUrl}${path}`, body, headers),
  });

  async function live(run: PlannedRun): Promise<void> {
    await sleep(Math.max(0, from + run.atMs - performance.now()));
    const { idempotencyKey } = run;
    const promise: Promised = {
      ...{ idempotencyKey, runIds: [], cancelled: false, retried: false },
      ...promiseOfRun(load, run),
    };
    promised.push(promise);
    const isTask = 'task' in run.of;
    const path = 'task' in run.of ? '/assign-task' : `/workflows/${workflowIds[run.of.workflow]}/execute`;
    const plot = 'workflow' in run.of ? plotOf(load, run.of.workflow) : undefined;
    const body =
      'task' in run.of
        ? requestOf(run.of.task, serviceUrl)
        : requestOfRun(plotOf(load, run.of.workflow), idempotencyKey);
    const begin = async () => {
      const answer = await insistOn(path, body, idempotencyKey);
      expectOneOf(answer, path, [202]);
      if (answer?.status === 202) promise.runIds.push(field(answer, isTask ? 'task_id' : 'execution_id'));
    };
    await Promise.all(run.twice ? [begin(), begin()] : [begin()]);
    const [id] = promise.runIds;
    if (id === undefined) return;
    if (plot !== undefined) await outside.attend(id, plot);
    if (plot?.deduped !== undefined) {
      // Without its key: what makes it the very same run is in the body.
      const answer = await insistOn(path, body);
      expectOneOf(answer, path, plot.deduped === 'reject' ? [409] : [202]);
      if (answer?.status === 202) promise.runIds.push(field(answer, 'execution_id'));
    }
    await Promise.all([cancelLater(run, promise, id), retryLater(run, promise, id)]);
  }
  async function cancelLater({ cancelAfterMs, cancelsMany }: PlannedRun, promise: Promised, id: string): Promise<void> {
    if (cancelAfterMs === undefined) return;
    await sleep(cancelAfterMs);
    // Before it is sent: it may be heard although nobody answers.
    promise.cancelled = true;
    const reason = 'a client changed its mind';
    if (cancelsMany) {
      const path = '/executions/bulk/cancel';
      expectOneOf(await insistOn(path, { filter: { execution_ids: [id] }, reason }), path, [202]);
      return;
    }
    const path = `/workflows/executions/${id}/cancel`;
    expectOneOf(await insistOn(path, { reason }), path, [202, 409]);
  }
  async function retryLater({ retryAfterMs }: PlannedRun, promise: Promised, id: string): Promise<void> {
    if (retryAfterMs === undefined) return;
    await sleep(retryAfterMs);
    promise.retried = true;
    const path = `/workflows/executions/${id}/retry`;
    expectOneOf(await insistOn(path, {}), path, [202, 409]);
  }

  const done = Promise.all(load.runs.map(live)).then(() => undefined);
  // It is awaited when the faults are over.
  done.catch(() => undefined);
  return { promised, surprises, done, close: () => outside.close() };
}
