/** Plays a plot on a running service, and tells what has become of it in the words of `evaluate`. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from '../client.ts';
import { comparable, comparableOutput, definitionOf, type Surroundings } from './definition.ts';
import type { Plot } from './forms.ts';
import type { Outside } from './outside.ts';

/** As `Expected`, but of what there really was. */
export interface Found {
  runId: string;
  status: string;
  output: unknown;
  tasks: Record<string, { status: string; output: unknown; attempts: number }>;
}

const PATIENCE_MS = 40_000;

/** Rejects when the run does not end. */
export async function play(plot: Plot, api: Client, outside: Outside, surroundings: Surroundings): Promise<Found> {
  const runId = await api.execute(await api.createWorkflow(definitionOf(plot, surroundings)));
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
    return [id, { status: task.status, output: seen, attempts: history.length }] as const;
  });
  return { runId, status, output: comparableOutput(plot, output), tasks: Object.fromEntries(found) };
}
