/** Plays a plot on a running service, and tells what has become of it in the words of `evaluate`. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from '../client.ts';
import { comparable, comparableOutput, definitionOf, type Surroundings } from './definition.ts';
import type { Plot } from './forms.ts';
import type { Outside } from './outside.ts';

/** What there really was. */
export interface Found {
  runId: string;
  status: string;
  output: unknown;
  tasks: Record<string, { status: string; output: unknown; attempts: number; cached: boolean }>;
}

const PATIENCE_MS = 40_000;

/** One run after the other, as often as the plot says. Rejects when one does not end. */
export async function play(plot: Plot, api: Client, outside: Outside, surroundings: Surroundings): Promise<Found[]> {
  const workflowId = await api.createWorkflow(definitionOf(plot, surroundings));
  const found: Found[] = [];
  for (let round = 0; round < plot.rounds; round += 1) found.push(await playOnce(plot, workflowId, api, outside));
  return found;
}

async function playOnce(plot: Plot, workflowId: string, api: Client, outside: Outside): Promise<Found> {
  const runId = await api.execute(workflowId);
  outside.attend(runId, plot);
  const patience = new AbortController();
  const tooLate = async () => {
    await sleep(PATIENCE_MS, undefined, { signal: patience.signal });
    throw new Error(`${runId} has not ended after ${PATIENCE_MS} ms`);
  };
  try {
    await Promise.race([api.ended(runId), tooLate(), outside.failed]);
  } finally {
    patience.abort();
    outside.leave(runId);
  }
  const { status, output, tasks } = await api.execution(runId);
  const found = tasks.map(({ action_id: id, attempts_history: history, ...task }) => {
    const seen = comparable(plot, id, task.output);
    const cached = task.cached === true;
    return [id, { status: task.status, output: seen, attempts: history.length, cached }] as const;
  });
  return { runId, status, output: comparableOutput(plot, output), tasks: Object.fromEntries(found) };
}
