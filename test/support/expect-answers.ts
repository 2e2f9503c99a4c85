/** What a test expects of an answer of the API. */
import { expect } from 'vitest';
import type { Execution } from '../../src/schemas/workflow-answers.ts';
import type { Answer } from '../harness/client/client.ts';

export function taskOf(run: Execution, actionId: string): Execution['tasks'][number] {
  const task = run.tasks.find(({ action_id }) => action_id === actionId);
  expect(task, `task ${actionId}`).toBeDefined();
  return task as Execution['tasks'][number]; // Just looked at.
}

/** A problem document with this status and code. */
export function expectProblem(answer: Answer, status: number, code: string): void {
  expect({ status: answer.status, body: answer.body }).toMatchObject({
    status,
    body: { status, code, error_code: code },
  });
  expect(answer.headers.get('content-type')).toContain('application/problem+json');
}
