/** `testWorkflow` against the model of what becomes of workflows; test/integration/sdk-testing.test.ts has the engine itself. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { testWorkflow } from '../../sdk/src/testing/index.ts';
import { plots } from '../support/model/arbitrary.ts';
import { definitionOf } from '../support/model/definition.ts';
import { evaluate } from '../support/model/evaluate.ts';
import { ALONE, mocksOf, visible } from '../support/model/mocked.ts';

test('random definitions end as the model says', async () => {
  await fc.assert(
    fc.asyncProperty(plots(ALONE), async (plot) => {
      const { status, output, tasks } = evaluate(plot);
      const definition = definitionOf(plot, { serviceUrl: 'http://service', workflowIds: new Map() });
      const tested = await testWorkflow(definition, { mocks: mocksOf(plot) });
      expect(visible(plot, { tasks }, tested)).toEqual({ status, output, tasks });
    }),
    { numRuns: 300 },
  );
});
