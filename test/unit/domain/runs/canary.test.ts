import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isOnCanary } from '../../../../src/domain/runs/canary.ts';
import { basisOf, versionFor, workflowToRun } from '../../../../src/engine/accept/choose-version.ts';
import type { Plans } from '../../../../src/engine/accept/plans.ts';
import { planOf } from '../../../harness/dags.ts';

const bases = Array.from({ length: 10_000 }, (_, n) => `order-${n}`);
const onCanary = (percent: number, workflowId = 'w', version = 2) =>
  bases.filter((basis) => isOnCanary({ version, percent }, workflowId, basis));

describe('the share of a canary', () => {
  test.each([0, 1, 10, 50, 90, 100])('of %d %% is about that of keys that only differ at their end', (percent) => {
    const expected = (bases.length * percent) / 100;
    // Five standard deviations.
    expect(Math.abs(onCanary(percent).length - expected)).toBeLessThanOrEqual(250);
    if (percent === 0 || percent === 100) expect(onCanary(percent)).toHaveLength(expected);
  });

  test('takes nobody away from the canary while it grows', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), fc.nat(100), fc.nat(100), (workflowId, basis, one, other) => {
        const [less, more] = [Math.min(one, other), Math.max(one, other)];
        const on = (percent: number) => isOnCanary({ version: 7, percent }, workflowId, basis);
        expect(!on(less) || on(more)).toBe(true);
        expect(on(less)).toBe(on(less));
      }),
    );
  });

  test('is of others for another workflow and for the next canary', () => {
    const both = (others: string[]) => onCanary(50).filter((basis) => others.includes(basis)).length;
    for (const others of [onCanary(50, 'another'), onCanary(50, 'w', 3)]) {
      expect(both(others)).toBeGreaterThan(2_000);
      expect(both(others)).toBeLessThan(3_000);
    }
  });
});

describe('the version of an execution', () => {
  const caller = { tenantId: 't', userId: 'u', correlationId: 'from the header', traceId: 'x' };
  const head = { id: 'w', status: 'active' as const, currentVersion: 1, newestVersion: 3 };
  const plan = planOf({ a: [] });
  const asked: number[] = [];
  const plans: Plans = {
    of: async (of) => {
      if ('version' in of) asked.push(of.version);
      return plan;
    },
  };
  const versionOf = async (canary: { version: number; percent: number } | undefined, version?: number, basis = 'b') =>
    (await workflowToRun(plans, { ...head, canary }, { version }, basis)).version;

  test('goes by the idempotency key, else the correlation id, else the run', () => {
    expect(basisOf(caller, 'key', 'correlation', 'run')).toBe('key');
    expect(basisOf(caller, undefined, 'correlation', 'run')).toBe('correlation');
    expect(basisOf(caller, undefined, undefined, 'run')).toBe('from the header');
    expect(basisOf({ ...caller, correlationId: undefined }, undefined, undefined, 'run')).toBe('run');
  });

  test('is the current one without a canary, and where nothing is started', async () => {
    expect(await versionOf(undefined)).toBe(1);
    expect(versionFor({ ...head, canary: { version: 2, percent: 100 } }, undefined)).toBe(1);
  });

  test('is the canary by its share, which may also be an older version', async () => {
    expect(await versionOf({ version: 3, percent: 100 })).toBe(3);
    expect(await versionOf({ version: 3, percent: 0 })).toBe(1);
    expect(asked.slice(-2)).toEqual([3, 1]);
  });

  test('is the one that is named, also a newer one that is not current', async () => {
    expect(await versionOf({ version: 3, percent: 100 }, 2)).toBe(2);
    expect(await versionOf(undefined, 3)).toBe(3);
    await expect(versionOf(undefined, 4)).rejects.toMatchObject({ code: 'not_found' });
    await expect(versionOf(undefined, 0)).rejects.toMatchObject({ code: 'not_found' });
  });
});
