import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { afterGate, createFailpoint } from '../../../src/compose/failpoints.ts';
import { ConfigError, loadConfig } from '../../../src/config/config.ts';
import { NO_FAILPOINT } from '../../../src/engine/ports/failpoint.ts';
import { FAILPOINTS, type FailpointRule } from '../../../src/schemas/failpoints.ts';
import { isTransient } from '../../../src/store/core/transient.ts';

const load = (environment: Record<string, string>) =>
  loadConfig({ SECRETS_DIR: '/nowhere', ...environment }, { cwd: '/nowhere' });
const rulesOf = (text: string) => load({ NODE_ENV: 'test', FAILPOINTS: text }).failpoints;
function faultsOf(environment: Record<string, string>): readonly string[] {
  try {
    load(environment);
  } catch (error) {
    if (error instanceof ConfigError) return error.faults;
    throw error;
  }
  return [];
}

describe('FAILPOINTS', () => {
  test('says by name what happens at which hit, the first one unless it says otherwise', () => {
    expect(rulesOf('api.afterInsert:exit, commit.afterReply:sleep(250)@3,worker.afterPick:stop')).toEqual([
      { name: 'api.afterInsert', action: 'exit', sleepMs: 0, at: 1 },
      { name: 'commit.afterReply', action: 'sleep', sleepMs: 250, at: 3 },
      { name: 'worker.afterPick', action: 'stop', sleepMs: 0, at: 1 },
    ]);
    expect(rulesOf('')).toEqual([]);
  });

  test.each([
    'api.afterLunch:exit',
    'api.afterAdd',
    'api.afterAdd:sleep',
    'api.afterAdd:exit(3)',
    'api.afterAdd:exit@0',
  ])('%s is refused with the names that there are', (text) => {
    expect(faultsOf({ NODE_ENV: 'test', FAILPOINTS: text })).toEqual([
      expect.stringMatching(/^FAILPOINTS must be name:exit\|stop.* api\.afterInsert, .*\.$/),
    ]);
  });

  test('is refused outside of tests, at the start', () => {
    expect(faultsOf({ FAILPOINTS: 'api.afterAdd:exit' })).toEqual([
      'FAILPOINTS makes processes fail on purpose, which is honoured with NODE_ENV=test only: leave it out.',
    ]);
  });

  test('names no place that the program does not pass', () => {
    const program = readdirSync('src', { recursive: true, encoding: 'utf8' })
      .filter((file) => file.endsWith('.ts') && !file.startsWith('schemas'))
      .map((file) => readFileSync(path.join('src', file), 'utf8'))
      .join('\n');
    expect(FAILPOINTS.filter((name) => !program.includes(`ailpoint('${name}')`))).toEqual([]);
  });
});

describe('a failpoint', () => {
  const rule = (more: Partial<FailpointRule>): FailpointRule => ({
    name: 'api.afterAdd',
    action: 'throw',
    sleepMs: 0,
    at: 1,
    ...more,
  });

  test('is one no-op while nothing is asked for, and gates are removed many at a time', () => {
    expect(createFailpoint([])).toBe(NO_FAILPOINT);
    expect(NO_FAILPOINT('api.afterAdd')).toBeUndefined();
    expect(afterGate([rule({})], NO_FAILPOINT)).toBeUndefined();
    expect(afterGate([rule({ name: 'gate.afterNth' })], NO_FAILPOINT)).toBeDefined();
  });

  test('happens at the hit that it names and at no other', async () => {
    const signals: string[] = [];
    const rules = [rule({ action: 'exit', at: 2 }), rule({ action: 'stop', at: 3 })];
    const failpoint = createFailpoint(rules, { kill: (signal) => void signals.push(signal) });
    const seen: string[][] = [];
    for (let hit = 1; hit <= 4; hit += 1) {
      await failpoint('api.afterAdd');
      await failpoint('api.afterInsert');
      seen.push([...signals]);
    }
    expect(seen).toEqual([[], ['SIGKILL'], ['SIGKILL', 'SIGSTOP'], ['SIGKILL', 'SIGSTOP']]);
  });

  test('that throws is a connection that broke, so whoever waits for a store tries again', async () => {
    const failpoint = createFailpoint([rule({})]);
    const error = await Promise.resolve(failpoint('api.afterAdd')).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ message: 'failpoint api.afterAdd' });
    expect(isTransient(error)).toBe(true);
    expect(failpoint('api.afterAdd')).toBeUndefined();
  });

  test('that sleeps holds the caller up and lets it go on', async () => {
    const held = createFailpoint([rule({ action: 'sleep', sleepMs: 1 })])('api.afterAdd');
    expect(held).toBeInstanceOf(Promise);
    await held;
  });
});
