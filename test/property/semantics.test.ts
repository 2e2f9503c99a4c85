/**
 * Definitions that mix everything, played on both queues and held against the model. `npm test` takes a slice of them;
 * `npm run test:semantics` plays a thousand on each. See docs/testing.md.
 */
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { describe, expect } from 'vitest';
import { accepted } from '../support/client.ts';
import { openTestService } from '../support/faults/test-service.ts';
import { onBothBackends } from '../support/fixtures.ts';
import { plots } from '../support/model/arbitrary.ts';
import { definitionOf, type Surroundings } from '../support/model/definition.ts';
import { evaluate } from '../support/model/evaluate.ts';
import type { Plot } from '../support/model/forms.ts';
import { openOutside } from '../support/model/outside.ts';
import { type Found, play } from '../support/model/play.ts';

const COUNT = Number(process.env['SEMANTICS_RUNS'] ?? '150');
const SEED = Number(process.env['SEMANTICS_SEED'] ?? Date.now() % 2 ** 31);
/** Runs that are under way at the same time. */
const TOGETHER = 16;
/** Longer than a run that does not end is waited for. */
const SHRINK_MS = 60_000;

describe.each(onBothBackends({ workers: 2 }))('semantics on $backend', ({ test }) => {
  test(`${COUNT} definitions end as the model says and leave nothing in the queue`, {
    timeout: 60_000 + COUNT * 1_000,
  }, async ({ api, stack }) => {
    process.stdout.write(`semantics on ${stack.backend}: ${COUNT} definitions, SEMANTICS_SEED=${SEED}\n`);
    const service = await openTestService();
    const surroundings = { serviceUrl: service.url };
    const post = async (path: string, body: object) => void accepted(await api.post(path, body), 202);
    const outside = openOutside({ db: stack.db, post, patient: false });
    let failure: string | undefined;
    let next = 0;
    const playSome = async () => {
      while (next < COUNT && failure === undefined) {
        const seed = SEED + next;
        next += 1;
        const property = fc.asyncProperty(plots(), async (plot) => {
          const found = await play(plot, api, outside, surroundings);
          if (!agrees(plot, found)) throw new Error(describeDifference(plot, found, surroundings));
        });
        const limits = { interruptAfterTimeLimit: SHRINK_MS, markInterruptAsFailure: true };
        const result = await fc.check(property, { seed, numRuns: 1, ...limits });
        if (result.failed)
          failure ??= `SEMANTICS_SEED=${seed}, made smaller ${result.numShrinks} times: ${String(result.errorInstance)}`;
      }
    };
    try {
      await Promise.all(Array.from({ length: TOGETHER }, playSome));
    } finally {
      await outside.close();
      await service.close();
    }
    if (failure !== undefined) expect.fail(failure);
  });
});

function agrees(plot: Plot, { status, output, tasks }: Found): boolean {
  const { endByThemselves: _, ...expected } = evaluate(plot);
  return isDeepStrictEqual({ status, output, tasks }, expected);
}

function describeDifference(plot: Plot, found: Found, surroundings: Surroundings): string {
  const expected = evaluate(plot);
  const differing = Object.keys(expected.tasks).filter((id) => !isDeepStrictEqual(expected.tasks[id], found.tasks[id]));
  const show = (value: unknown) => JSON.stringify(value);
  return [
    `run ${found.runId} is ${found.status} with ${show(found.output)}; the model says ${expected.status} with ${show(expected.output)}`,
    ...differing.map((id) => `  ${id} is ${show(found.tasks[id])}; the model says ${show(expected.tasks[id])}`),
    `plot: ${show(plot)}`,
    `definition: ${show(definitionOf(plot, surroundings))}`,
  ].join('\n');
}
