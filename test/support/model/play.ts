/** Plays a plot on a running service, and tells what has become of it in the words of `evaluate`. */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import type { Execution } from '../../../src/schemas/workflow-answers.ts';
import { accepted, type Client, field } from '../../harness/client/client.ts';
import { createWorkflowOf } from './create.ts';
import { comparable, comparableOutput, requestOf, withoutFailure } from './definition.ts';
import { stepOf } from './evaluate.ts';
import type { Plot, Work } from './forms.ts';
import type { Outside } from './outside.ts';

/** What there really was. */
export interface Found extends FoundRun {
  runId: string;
}
interface FoundRun {
  status: string;
  output: unknown;
  tasks: Record<string, FoundTask>;
  /** Actions that were undone before what came after them was. */
  undoneTooEarly: string[];
}
interface FoundTask {
  status: string;
  output: unknown;
  attempts: number;
  cached: boolean;
  parts: Array<{ status: string; attempts: number }> | undefined;
  children: FoundRun[] | undefined;
  compensation: { status: string; output: unknown; attempts: number } | undefined;
}

const PATIENCE_MS = 120_000;

/** One run after the other, as often as the plot says. Rejects when one does not end. */
export async function play(plot: Plot, api: Client, outside: Outside, serviceUrl: string): Promise<Found[]> {
  const workflowId = await createWorkflowOf(plot, api, serviceUrl);
  const found: Found[] = [];
  for (let round = 0; round < plot.rounds; round += 1) found.push(await playOnce(plot, workflowId, api, outside));
  return found;
}

async function playOnce(plot: Plot, workflowId: string, api: Client, outside: Outside): Promise<Found> {
  const request = requestOf(plot, randomUUID());
  const runId = await api.execute(workflowId, request);
  if (plot.deduped !== undefined) await askAgain(plot, workflowId, request, runId, api);
  await outside.attend(runId, plot);
  const patience = new AbortController();
  const tooLate = async () => {
    await sleep(PATIENCE_MS, undefined, { signal: patience.signal });
    const { text } = await api.get(`/executions/${runId}/why`);
    throw new Error(`${runId} has not ended after ${PATIENCE_MS} ms: ${text}`);
  };
  try {
    await Promise.race([allEnded(plot, runId, api, outside), tooLate(), outside.failed]);
  } finally {
    patience.abort();
    outside.leave(runId);
  }
  return { runId, ...(await look(plot, runId, api, outside)) };
}

/** The very same run once more: there is none. */
async function askAgain(plot: Plot, workflowId: string, request: object, runId: string, api: Client): Promise<void> {
  const answer = await api.post(`/workflows/${workflowId}/execute`, request);
  if (plot.deduped === 'reject' ? answer.status !== 409 : field(accepted(answer, 202), 'execution_id') !== runId)
    throw new Error(`asked for ${runId} once more: ${answer.status} ${answer.text}`);
}

/** With those that nobody waited for. */
async function allEnded(plot: Plot, runId: string, api: Client, outside: Outside): Promise<void> {
  await api.ended(runId);
  if (!plot.steps.some(({ work }) => work.kind === 'child')) return;
  for (const { id, action_id: by } of await outside.childrenOf(runId)) {
    const { work } = stepOf(plot, by);
    if (work.kind === 'child') await allEnded(work.plot, id, api, outside);
  }
}

async function look(plot: Plot, runId: string, api: Client, outside: Outside): Promise<FoundRun> {
  const hasChildren = plot.steps.some(({ work }) => work.kind === 'child');
  const begun = hasChildren ? await outside.childrenOf(runId) : [];
  const { status, output, tasks } = await api.execution(runId);
  const found: Record<string, FoundTask> = {};
  for (const { action_id: id, attempts_history: history, ...task } of tasks) {
    const { work } = stepOf(plot, id);
    const children: FoundRun[] = [];
    for (const child of begun.filter(({ action_id: by }) => by === id)) {
      if (work.kind === 'child') children.push(await look(work.plot, child.id, api, outside));
    }
    found[id] = {
      status: task.status,
      output: comparable(plot, id, task.output),
      attempts: history.length,
      cached: task.cached === true,
      parts: areCertain(work, task.status) && history.length > 0 ? await partsOf(runId, id, api) : undefined,
      children: children.length > 0 ? children : undefined,
      compensation: undoingOf(task.compensation),
    };
  }
  return { status, output: comparableOutput(plot, output), tasks: found, undoneTooEarly: undoneTooEarly(plot, tasks) };
}

function undoingOf(undoing: Execution['tasks'][number]['compensation']): FoundTask['compensation'] {
  if (undoing === undefined) return undefined;
  const { status, output, attempts } = undoing;
  return { status, output: output === null ? null : withoutFailure(output), attempts };
}

function undoneTooEarly(plot: Plot, tasks: Execution['tasks']): string[] {
  const undoingBy = new Map(tasks.map(({ action_id: id, compensation }) => [id, compensation]));
  return plot.steps.flatMap(({ id }) => {
    const begun = undoingBy.get(id)?.started_at ?? undefined;
    const later = [...followersOf(plot, id)].map((follower) => undoingBy.get(follower)?.finished_at ?? '');
    return begun !== undefined && later.some((finished) => finished > begun) ? [id] : [];
  });
}

function followersOf({ steps }: Plot, id: string): Set<string> {
  const found = new Set<string>();
  const follow = (of: string) => {
    for (const step of steps) {
      if (!step.after.includes(of) || found.has(step.id)) continue;
      found.add(step.id);
      follow(step.id);
    }
  };
  follow(id);
  return found;
}

/** Which items are begun before a fan-out is given up is left to chance. */
function areCertain(work: Work, status: string): boolean {
  return (
    work.kind === 'loop' || (work.kind === 'items' && (status === 'completed' || work.onItemFailure === 'continue'))
  );
}

const parts = z.object({
  items: z.array(z.object({ status: z.string(), attempts_history: z.array(z.unknown()) })),
});

async function partsOf(runId: string, actionId: string, api: Client): Promise<FoundTask['parts']> {
  const answer = accepted(await api.get(`/workflows/executions/${runId}/parts?of=${actionId}`), 200);
  const { items } = parts.parse(answer.body);
  return items.map(({ status, attempts_history: history }) => ({ status, attempts: history.length }));
}
