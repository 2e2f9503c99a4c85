/**
 * The mixed fault suite: each seed is a stack of its own under load, on which faults are injected that the seed decides.
 * `npm test` runs one seed on each queue; `npm run test:faults` many, or the one to be replayed. See docs/testing.md.
 */
import { describe, expect, test } from 'vitest';
import { describeViolation } from '../harness/checker/rules.ts';
import { describeFault, scheduleOf } from '../harness/faults/schedule.ts';
import { BACKENDS, type BackendKind } from '../harness/servers/backends.ts';
import { runScenario } from '../support/faults/scenario.ts';

const TIMEOUT_MS = 300_000;

const backends = chosenBackends(process.env['FAULT_BACKENDS'] ?? BACKENDS.join(','));
const seeds = chosenSeeds(process.env['FAULT_SEED'] ?? '1', process.env['FAULT_SEEDS'] ?? '1');
const loadMs = whole('FAULT_LOAD_SECONDS', process.env['FAULT_LOAD_SECONDS'] ?? '15') * 1_000;

describe.each(backends)('faults on %s', (backend) => {
  test.each(seeds)('seed %i: all that was promised holds', { timeout: TIMEOUT_MS }, async (seed) => {
    const schedule = scheduleOf(seed, backend, loadMs);
    const faults = schedule.faults.map(describeFault).join(', ');
    process.stdout.write(`faults on ${backend}, seed ${seed}, ${schedule.workers} workers: ${faults}\n`);
    const { violations, surprises, counts, seconds, log } = await runScenario(seed, backend, loadMs);
    const { runs, tasks, calls, repeated } = counts;
    const { start, faults: broken, rest } = seconds;
    process.stdout.write(
      `faults on ${backend}, seed ${seed}: ${runs} runs, ${tasks} tasks, ${calls} calls, ${repeated} of them repeated; ${start.toFixed()} s to start, ${broken.toFixed()} s of faults, ${rest.toFixed()} s until all had ended\n`,
    );
    const found = [...violations.map(describeViolation), ...surprises];
    if (found.length === 0) return;
    process.stderr.write(`${log}\n`);
    expect.fail(`${found.join('\n')}\nreplay: ${replay(seed, backend)}`);
  });
});

function replay(seed: number, backend: BackendKind): string {
  return `FAULT_SEED=${seed} FAULT_BACKENDS=${backend} FAULT_LOAD_SECONDS=${loadMs / 1_000} npm run test:faults`;
}

function chosenBackends(text: string): BackendKind[] {
  const names = text.split(',').map((name) => name.trim());
  const unknown = names.filter((name) => !BACKENDS.some((backend) => backend === name));
  if (unknown.length > 0)
    throw new Error(`FAULT_BACKENDS names ${unknown.join(', ')}; there are ${BACKENDS.join(', ')}`);
  return BACKENDS.filter((backend) => names.includes(backend));
}

function chosenSeeds(first: string, count: string): number[] {
  const from = whole('FAULT_SEED', first);
  return Array.from({ length: whole('FAULT_SEEDS', count) }, (_, n) => from + n);
}

function whole(name: string, text: string): number {
  if (!/^\d+$/.test(text)) throw new Error(`${name} is '${text}'; it must be a whole number`);
  return Number(text);
}
