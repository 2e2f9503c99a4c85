/**
 * Requests of all kinds, made from the OpenAPI document and then spoiled, to a service with real stores. `npm test` sends a
 * sample, `npm run test:fuzz` all of them. See docs/testing.md.
 */
import { expect, test } from 'vitest';
import { fuzz } from '../support/fuzz/run.ts';
import { openWorld } from '../support/fuzz/world.ts';

const requests = whole('FUZZ_REQUESTS', '800');
/** The sample is always the same one: what others would find is found by `npm run test:fuzz`, which draws its seed. */
const seed = whole('FUZZ_SEED', process.env['FUZZ_REQUESTS'] === undefined ? '1' : drawn());

function drawn(): string {
  return String(Math.floor(Math.random() * 1_000_000));
}

test('whatever is sent, the answer is one that the document names, and tells nothing of the inside', {
  timeout: 3_600_000,
}, async () => {
  process.stdout.write(`fuzz: ${requests} requests, seed ${seed}\n`);
  const world = await openWorld();
  try {
    const { statuses, refusals, findings } = await fuzz(world, { seed, requests });
    const classes = new Map<string, number>();
    for (const [key, count] of statuses) {
      const status = key.split(' ')[1] ?? '';
      classes.set(status, (classes.get(status) ?? 0) + count);
    }
    const reached = world.document.operations.filter(({ id }) =>
      [...statuses.keys()].some((key) => new RegExp(`^${id} [23]`).test(key)),
    );
    const told = [...classes].sort().map(([status, count]) => `${count} × ${status}`);
    process.stdout.write(
      `fuzz: ${told.join(', ')}; ${reached.length} of ${world.document.operations.length} operations succeeded\n`,
    );
    if (process.env['FUZZ_REPORT'] !== undefined) {
      const missed = world.document.operations.filter((op) => !reached.includes(op));
      for (const { id } of missed)
        process.stdout.write(`fuzz: never succeeded: ${id}, ${refusals.get(id) ?? 'only spoiled'}\n`);
    }
    if (findings.length > 0) {
      expect.fail(`${findings.join('\n\n')}\n\nreplay: FUZZ_SEED=${seed} FUZZ_REQUESTS=${requests} npm run test:fuzz`);
    }
  } finally {
    await world.close();
  }
});

function whole(name: string, otherwise: string): number {
  const text = process.env[name] ?? otherwise;
  if (!/^\d{1,9}$/.test(text)) throw new Error(`${name} is '${text}'; it must be a whole number`);
  return Number(text);
}
