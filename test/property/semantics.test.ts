/**
 * Definitions that mix everything, played on both queues and held against the model. `npm test` takes a slice of them;
 * `npm run test:semantics` plays a thousand on each. See docs/testing.md.
 */
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { describe, expect } from 'vitest';
import { openTestService } from '../harness/services/test-service.ts';
import { onBothBackends } from '../support/fixtures.ts';
import { plots } from '../support/model/arbitrary.ts';
import { definitionOf, type Surroundings } from '../support/model/definition.ts';
import { evaluateRounds } from '../support/model/evaluate.ts';
import type { Expected, Plot } from '../support/model/forms.ts';
import { openOutside } from '../support/model/outside.ts';
import { type Found, play } from '../support/model/play.ts';

const COUNT = Number(process.env['SEMANTICS_RUNS'] ?? '80');
/** The sample is always the same one: what others would find is found by `npm run test:semantics`, which draws its seed. */
const SEED = Number(
  process.env['SEMANTICS_SEED'] ?? (process.env['SEMANTICS_RUNS'] === undefined ? 1 : Date.now() % 2 ** 31),
);
/** Runs that are under way at the same time. */
const TOGETHER = 16;
/** Longer than a run that does not end is waited for. */
const SHRINK_MS = 600_000;

describe.each(onBothBackends({ workers: 2 }))('semantics on $backend', ({ test }) => {
  test(`${COUNT} definitions end as the model says and leave nothing in the queue`, {
    timeout: 900_000 + COUNT * 5_000,
  }, async ({ api, stack }) => {
    process.stdout.write(`semantics on ${stack.backend}: ${COUNT} definitions, SEMANTICS_SEED=${SEED}\n`);
    const service = await openTestService();
    const post = (path: string, body: object, headers?: Record<string, string>) => api.post(path, body, headers);
    const outside = openOutside({ db: stack.db, post, patient: false });
    let failing: number | undefined;
    let failure: string | undefined;
    let next = 0;
    const playSome = async () => {
      while (next < COUNT && failing === undefined) {
        const seed = SEED + next;
        next += 1;
        const property = fc.asyncProperty(plots(), async (plot) => {
          // Only the first that fails is made smaller: the others would make that slow.
          if (failing !== undefined && failing !== seed) return;
          const found = await play(plot, api, outside, service.url);
          if (agrees(plot, found)) return;
          failing ??= seed;
          throw new Error(describeDifference(plot, found));
        });
        const limits = { interruptAfterTimeLimit: SHRINK_MS, markInterruptAsFailure: true };
        const result = await fc.check(property, { seed, numRuns: 1, ...limits });
        if (!result.failed) continue;
        failing ??= seed;
        if (failing === seed)
          failure = `SEMANTICS_SEED=${seed}, made smaller ${result.numShrinks} times: ${String(result.errorInstance)}`;
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

function agrees(plot: Plot, found: readonly Found[]): boolean {
  return isDeepStrictEqual(
    found.map(({ runId: _, ...run }) => run),
    evaluateRounds(plot).map(visible),
  );
}

/** What can be seen of a run. */
function visible({
  status,
  output,
  tasks,
}: Expected): Omit<Found, 'runId' | 'tasks'> & { tasks: Record<string, unknown> } {
  const shown = Object.entries(tasks).map(([id, { children, ...task }]) => {
    return [id, { ...task, children: children?.map(visible) }] as const;
  });
  return { status, output, tasks: Object.fromEntries(shown), undoneTooEarly: [] };
}

/** Only to be read. */
const NOWHERE: Surroundings = { serviceUrl: 'http://service', workflowIds: new Map() };

function describeDifference(plot: Plot, found: readonly Found[]): string {
  const show = (value: unknown) => JSON.stringify(value);
  const rounds = evaluateRounds(plot).flatMap((one, round) => {
    const expected = visible(one);
    const run = found[round];
    const differing = Object.keys(expected.tasks).filter(
      (id) => !isDeepStrictEqual(expected.tasks[id], run?.tasks[id]),
    );
    return [
      `run ${run?.runId} is ${run?.status} with ${show(run?.output)}; the model says ${expected.status} with ${show(expected.output)}`,
      ...differing.map((id) => `  ${id} is ${show(run?.tasks[id])}; the model says ${show(expected.tasks[id])}`),
    ];
  });
  return [...rounds, `plot: ${show(plot)}`, `definition: ${show(definitionOf(plot, NOWHERE))}`].join('\n');
}
