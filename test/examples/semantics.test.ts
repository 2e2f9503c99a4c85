import { describe, expect } from 'vitest';
import { EXAMPLES } from '../../examples/semantics/all.ts';
import { runExample } from '../../examples/semantics/example.ts';
import { onBothBackends } from '../support/fixtures.ts';

describe.each(onBothBackends())('the examples of docs/semantics.md on $backend', ({ test }) => {
  test.for(EXAMPLES)('$name', async (example, { api }) => {
    const lines: string[] = [];
    const good = await runExample(example, { url: api.url, apiKey: undefined }, (line) => lines.push(line));
    expect(good, lines.join('\n')).toBe(true);
  });
});
