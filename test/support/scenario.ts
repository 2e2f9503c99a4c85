/** What the scenarios of test/faults share: workflows of calls, and a look at processes that stop or end themselves. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import type { Child } from '../harness/processes/process.ts';
import type { Service } from '../harness/services/service.ts';
import { until } from '../harness/until.ts';
import { type TestAction, workflow } from './test-task.ts';

/** So that a worker that dies has one call under way at most. */
export const ONE_AT_A_TIME = { WORKER_CONCURRENCY: '1' };

export function calling(service: Service, id: string, dependsOn: string[] = [], more: object = {}): TestAction {
  const config = { url: `${service.url}/${id}`, method: 'POST', body: { id } };
  return { action_id: id, action_type: 'http_request', config, depends_on: dependsOn, ...more };
}

/** A cut point, a fan-out, and a fan-in with two gates for each of `b` and `c`; three last actions, so a finalizer too. */
export function gated(service: Service): { name: string; actions: readonly TestAction[] } {
  const call = (id: string, ...dependsOn: string[]) => calling(service, id, dependsOn);
  return workflow([
    call('a'),
    call('b', 'a'),
    call('c', 'a'),
    call('d', 'b', 'c'),
    call('e', 'b', 'c'),
    call('f', 'b', 'c'),
  ]);
}
export const GATED_ACTIONS = 6;

/** Calls beyond the first one of each task. */
export function extraCalls({ calls }: Service): number {
  return calls.length - new Set(calls.map(({ idempotencyKey }) => idempotencyKey)).size;
}

/** Resolves when the process stands still, as after SIGSTOP. */
export async function hasStopped(child: Child): Promise<void> {
  await until(() => stateOf(child.pid).startsWith('T'), { what: `the ${child.kind} has stopped` });
}

export async function hasEnded(child: Child): Promise<void> {
  await until(() => !child.isAlive(), { what: `the ${child.kind} has ended` });
}

/** The first letter is the same everywhere; slim images of Linux have no ps. */
function stateOf(pid: number): string {
  if (process.platform !== 'linux') return execFileSync('ps', ['-o', 'stat=', '-p', String(pid)], { encoding: 'utf8' });
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  return stat.slice(stat.lastIndexOf(')') + 2);
}
