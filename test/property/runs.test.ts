import fc from 'fast-check';
import { describe, expect } from 'vitest';
import type { Execution } from '../../src/schemas/workflow-answers.ts';
import { onBothBackends } from '../support/fixtures.ts';
import { expectRest } from '../support/invariants.ts';
import { definitionOfRandom, type Expected, evaluate, randomWorkflows } from '../support/random-workflow.ts';

/** Runs that are under way at the same time, and how often; 300 in all on both queues together. */
const TOGETHER = 10;
const ROUNDS = 15;

describe.each(onBothBackends({ workers: 2 }))('random workflows on $backend', ({ test }) => {
  test(`${TOGETHER * ROUNDS} of them end as the rules say, start nothing too early and leave nothing in the queue`, async ({
    api,
    stack,
  }) => {
    const seed = Date.now() % 2 ** 31;
    process.stdout.write(`random workflows on ${stack.backend}: seed ${seed}\n`);
    const together = fc.array(randomWorkflows(12), { minLength: TOGETHER, maxLength: TOGETHER });
    const property = fc.asyncProperty(together, async (workflows) => {
      const ended = await Promise.all(workflows.map((workflow) => api.run(definitionOfRandom(workflow))));
      for (const [n, workflow] of workflows.entries()) {
        const run = ended[n];
        if (run !== undefined) expect(viewOf(run)).toEqual(evaluate(workflow));
      }
      await expectRest(stack);
    });
    await fc.assert(property, {
      numRuns: ROUNDS,
      seed,
      interruptAfterTimeLimit: 100_000,
      markInterruptAsFailure: true,
    });
  }, 120_000);
});

function viewOf({ status, output, tasks }: Execution): Omit<Expected, 'status'> & { status: string } {
  return {
    status,
    output,
    tasks: Object.fromEntries(
      tasks.map((task) => [
        task.action_id,
        { status: task.status, output: task.output, attempts: task.attempts_history.length },
      ]),
    ),
  };
}
