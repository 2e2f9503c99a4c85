/** The requests of clients of the older task assigner, field by field: assign a task, then ask again and again for its result. */
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import { hasEnded, type Orchestrator, openOrchestrator, type Result, result, type Target } from '../orchestrator.ts';

const TASKS = [
  {
    request: { task_type: 'approve_batches', params: { batch_ids: [1, 2, 3], auto_approve: true } },
    expected: { processed_batches: 3, approved: 2, rejected: 1, simulated: true },
  },
  { request: { task_type: 'test_task', params: {} }, expected: {} },
];
const POLL_MS = 500;
const PATIENCE_MS = 60_000;

const assigned = z.object({
  task_id: z.string(),
  status: z.literal('assigned'),
  message: z.string(),
  timestamp: z.string(),
});

type Say = (line: string) => void;

/** True when every task ends as it must. */
export async function assignTasks({ say, ...target }: Target & { say: Say }): Promise<boolean> {
  const api = openOrchestrator(target);
  let good = true;
  for (const { request, expected } of TASKS) {
    say(`POST ${api.url}/assign-task/ ${JSON.stringify(request)}`);
    const task = await api.post('/assign-task/', request, assigned);
    say(`  ${JSON.stringify(task)}`);
    say(`GET ${api.url}/result/${task.task_id}`);
    const answer = await poll(api, task.task_id, say);
    if (!isAsExpected(answer, expected)) {
      say(`  DIFFERS from ${JSON.stringify(expected)}`);
      good = false;
    }
  }
  return good;
}

async function poll(api: Orchestrator, taskId: string, say: Say): Promise<Result> {
  const deadline = performance.now() + PATIENCE_MS;
  for (;;) {
    const answer = await api.get(`/result/${taskId}`, result);
    say(`  ${JSON.stringify(answer)}`);
    if (hasEnded(answer)) return answer;
    if (performance.now() > deadline) throw new Error(`${taskId} is still ${answer.status}: is a worker running?`);
    await sleep(POLL_MS);
  }
}

/** Where ESC_URL is set, the real system decides, and only the end itself is known before. */
function isAsExpected({ status, result: found }: Result, expected: Record<string, unknown>): boolean {
  if (status !== 'completed' || found === undefined) return false;
  const decidedElsewhere = Object.hasOwn(expected, 'simulated') && !Object.hasOwn(found, 'simulated');
  return decidedElsewhere || isDeepStrictEqual(found, expected);
}
