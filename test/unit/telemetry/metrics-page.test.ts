import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { parseExposition } from '../../support/parse-exposition.ts';
import { registeredMetrics } from '../../support/registries.ts';

const PAGE = 'docs/metrics.md';

/** A row for each metric, as the page has to have it. */
async function expectedRows(): Promise<string[]> {
  const doors = await registeredMetrics();
  const [api, worker] = await Promise.all(
    [doors.api, doors.worker].map(async (door) => parseExposition(await door.metrics('text'), 'text')),
  );
  const all = new Map([...(api ?? []), ...(worker ?? [])]);
  const shared = new Set((await doors.shared.families()).map(({ name }) => name));
  return [...all.values()]
    .filter(({ name }) => /^(?:orchestrator|http)_/.test(name))
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .map(({ name, type, help, samples }) => {
      const labels = new Set(samples.flatMap((sample) => Object.keys(sample.labels)));
      for (const usual of ['le', name === 'orchestrator_circuit_state' ? '' : 'service']) labels.delete(usual);
      const where = shared.has(name)
        ? 'all together'
        : api?.has(name) === true
          ? worker?.has(name) === true
            ? 'each'
            : 'api'
          : 'worker';
      const cells = [
        `\`${name}\``,
        type,
        [...labels]
          .sort()
          .map((label) => `\`${label}\``)
          .join(' '),
        where,
        help,
      ];
      return `| ${cells.join(' | ')} |`;
    });
}

test('docs/metrics.md has a row for every metric that is exported, and no other', async () => {
  const rows = readFileSync(PAGE, 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('| `'));
  expect(rows).toEqual(await expectedRows());
});
