/** `testWorkflow` against the real engine: random definitions are run by both, and have to end in the same way. */
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { describe, expect } from 'vitest';
import { testWorkflow } from '../../sdk/src/testing/index.ts';
import { openTestService } from '../harness/services/test-service.ts';
import { onBothBackends } from '../support/fixtures.ts';
import { plots } from '../support/model/arbitrary.ts';
import { definitionOf } from '../support/model/definition.ts';
import { ALONE, mocksOf, visible } from '../support/model/mocked.ts';
import { openOutside } from '../support/model/outside.ts';
import { play } from '../support/model/play.ts';

const COUNT = 200;
const SEED = 16;
const TOGETHER = 16;

const [backend] = onBothBackends({ workers: 2 });
if (backend === undefined) throw new Error('there is no backend');

describe(`testWorkflow beside the engine on ${backend.backend}`, () => {
  backend.test(`${COUNT} random definitions end as on the engine`, { timeout: 1_800_000 }, async ({ api, stack }) => {
    const service = await openTestService();
    const post = (path: string, body: object, headers?: Record<string, string>) => api.post(path, body, headers);
    const outside = openOutside({ db: stack.db, post, patient: false });
    const all = fc.sample(plots(ALONE), { seed: SEED, numRuns: COUNT });
    const different: string[] = [];
    let next = 0;
    const playSome = async () => {
      for (let plot = all[next++]; plot !== undefined; plot = all[next++]) {
        const definition = definitionOf(plot, { serviceUrl: service.url, workflowIds: new Map() });
        const [found] = await play({ ...plot, rounds: 1 }, api, outside, service.url);
        if (found === undefined) throw new Error('it was not played');
        const tested = visible(plot, found, await testWorkflow(definition, { mocks: mocksOf(plot) }));
        const { runId: _, undoneTooEarly: __, ...real } = found;
        if (!isDeepStrictEqual(tested, real))
          different.push(
            `${JSON.stringify(definition)}\nengine: ${JSON.stringify(real)}\ntested: ${JSON.stringify(tested)}`,
          );
      }
    };
    try {
      await Promise.all(Array.from({ length: TOGETHER }, playSome));
    } finally {
      await outside.close();
      await service.close();
    }
    expect(all).toHaveLength(COUNT);
    expect(different.slice(0, 3), `${different.length} of ${COUNT} differ`).toEqual([]);
  });
});
