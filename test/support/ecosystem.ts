/** The stage of examples/ecosystem beside a stack, and what tests ask of it. */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { expect } from 'vitest';
import { keepRegistered } from '../../examples/ecosystem/registration.ts';
import { SERVICES } from '../../examples/ecosystem/services/all.ts';
import { openStage, type Stage } from '../../examples/ecosystem/stage.ts';
import { openOrchestrator } from '../../examples/orchestrator.ts';
import type { Client } from '../harness/client/client.ts';
import { onBothBackends } from './fixtures.ts';
import type { Stack, StackOptions } from './stack.ts';

const execute = promisify(execFile);

/** On one backend: the queue makes no difference to services. */
export function onStage(options: StackOptions) {
  return onBothBackends(options)
    .slice(0, 1)
    .map(({ backend, test }) => ({
      backend,
      test: test.extend('stage', { scope: 'file' }, ({ stack }, { onCleanup }) => openOn(stack, onCleanup)),
    }));
}

async function openOn(stack: Stack, onCleanup: (close: () => Promise<void>) => void): Promise<Stage> {
  const stage = await openStage({
    services: SERVICES,
    host: '127.0.0.1',
    ports: 'free',
    controlPort: 0,
    databaseUrl: stack.databaseUrl,
  });
  const registration = keepRegistered({
    api: openOrchestrator({ url: stack.api.url, apiKey: undefined }),
    services: stage.services,
    ttlSeconds: 30,
    // Of many runs at once those that fail come back first, five in a row and more: circuits have tests of their own.
    breaker: { failure_threshold: 100, recovery_timeout: 1 },
    say: (line) => process.stderr.write(`${line}\n`),
  });
  onCleanup(async () => {
    await registration.close();
    await stage.close();
  });
  await registration.ready;
  return stage;
}

export function received(stage: Stage, name: string) {
  const last = stage.services.get(name)?.received.at(-1);
  if (last === undefined) throw new Error(`${name} got nothing`);
  return last;
}

export function callsOf(stage: Stage): Record<string, number> {
  return Object.fromEntries([...stage.services.values()].map(({ name, received: { length } }) => [name, length]));
}

export async function heal(stage: Stage): Promise<void> {
  for (const name of stage.services.keys()) await stage.afflict(name, { kind: 'none' });
}

/** The commands of the walk-through, with the addresses of this stack and stage for the usual ones. */
export async function walkThrough(api: Client, stage: Stage): Promise<unknown[]> {
  const readme = readFileSync('examples/ecosystem/README.md', 'utf8');
  const blocks = [...readme.matchAll(/^```bash\n([\s\S]*?)^```$/gm)].map(([, block = '']) => block);
  const addresses = new Map([
    ['localhost:8000', new URL(api.url).host],
    ['localhost:5199', new URL(stage.controlUrl).host],
    ...SERVICES.map(({ name, port }): [string, string] => [
      `localhost:${port}`,
      new URL(stage.services.get(name)?.url ?? '').host,
    ]),
  ]);
  const script = blocks.filter((block) => block.includes('curl')).join('\necho\n');
  const pasted = [...addresses].reduce((text, [usual, here]) => text.replaceAll(usual, here), script);
  expect(pasted).not.toMatch(/localhost:/);
  const { stdout } = await execute('bash', ['-euc', pasted]);
  return stdout
    .replaceAll(/\n/g, '')
    .split(/(?<=\})(?=\{)/)
    .map((answer): unknown => JSON.parse(answer));
}
