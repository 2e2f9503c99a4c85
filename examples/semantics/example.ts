/** What an example of docs/semantics.md is: a few requests to a running service, and whether what came of them is as told. */
import { z } from 'zod';
import { type Orchestrator, openOrchestrator, type Target } from '../orchestrator.ts';

export interface Example {
  /** As in `npm run example -- <name>`. */
  name: string;
  /** True when everything ended as the example says. */
  run(api: Orchestrator, say: (line: string) => void): Promise<boolean>;
}

export const created = z.looseObject({ workflow_id: z.string() });
export const started = z.looseObject({ execution_id: z.string() });
export const execution = z.looseObject({
  status: z.string(),
  output: z.unknown(),
  tasks: z.array(z.looseObject({ action_id: z.string(), status: z.string(), output: z.unknown() })),
});
export type ExampleExecution = z.output<typeof execution>;

const PATIENCE_MS = 60_000;

/** Creates the workflow and begins one execution of it; its id. */
export async function begin(api: Orchestrator, definition: object, parameters: object = {}): Promise<string> {
  const { workflow_id } = await api.post('/workflows', definition, created);
  const { execution_id } = await api.post(`/workflows/${workflow_id}/execute`, { parameters }, started);
  return execution_id;
}

/** The execution once `isSo` says yes of it; without one: once it has ended. */
export async function executionWhen(
  api: Orchestrator,
  id: string,
  isSo: (found: ExampleExecution) => boolean = hasEnded,
): Promise<ExampleExecution> {
  const deadline = performance.now() + PATIENCE_MS;
  for (;;) {
    const found = await api.get(`/workflows/executions/${id}`, execution);
    if (isSo(found)) return found;
    if (performance.now() > deadline) throw new Error(`${id} is still ${found.status}: is a worker running?`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

const LIVE = ['pending', 'queued', 'running', 'waiting', 'paused', 'cancelling', 'compensating'];

export function hasEnded({ status }: { status: string }): boolean {
  return !LIVE.includes(status);
}

export function statusesOf({ tasks }: ExampleExecution): Record<string, string> {
  return Object.fromEntries(tasks.map(({ action_id, status }) => [action_id, status]));
}

export function runExample(example: Example, target: Target, say: (line: string) => void): Promise<boolean> {
  return example.run(openOrchestrator(target), say);
}
