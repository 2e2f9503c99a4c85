/** One action again and again, each time with what came of it the time before, until a condition holds. */
import { isDeepStrictEqual } from 'node:util';
import { begin, type Example, executionWhen } from './example.ts';

const DEFINITION = {
  name: 'doubling',
  actions: [
    {
      action_id: 'double',
      action_type: 'transform',
      repeat: { until: 'output.value >= 100', max_iterations: 10, delay_seconds: 0.01 },
      config: { outputs: { value: 'previous == null ? 1 : previous.value * 2', at: 'iteration' } },
    },
  ],
};

export const loop: Example = {
  name: 'loop',
  async run(api, say) {
    const found = await executionWhen(api, await begin(api, DEFINITION));
    const output = found.tasks[0]?.output;
    say(`ended with ${JSON.stringify(output)}`);
    return isDeepStrictEqual(output, { value: 128, at: 8 });
  },
};
