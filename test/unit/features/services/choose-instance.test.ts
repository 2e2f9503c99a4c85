import { expect, test } from 'vitest';
import { type Candidate, callable, chooseInstance } from '../../../../src/features/services/choose-instance.ts';
import { instanceStatus, type LoadBalancing, serviceStatus } from '../../../../src/features/services/domain.ts';

function rounds(policy: LoadBalancing, candidates: [Candidate, ...Candidate[]], count: number): string[] {
  let credit = new Map<string, number>();
  return Array.from({ length: count }, () => {
    const choice = chooseInstance(policy, candidates, credit);
    credit = new Map([...credit, ...choice.credit]);
    return choice.id;
  });
}
const one = (id: string, weight = 1, outstanding = 0): Candidate => ({ id, weight, outstanding });

test('round robin gives each instance its weight, spread evenly', () => {
  expect(rounds('round_robin', [one('a', 3), one('b'), one('c')], 10)).toEqual([
    ...['a', 'b', 'a', 'c', 'a'],
    ...['a', 'b', 'a', 'c', 'a'],
  ]);
  expect(rounds('round_robin', [one('a', 1, 99), one('b')], 4)).toEqual(['a', 'b', 'a', 'b']);
});

test('an instance that was away does not get at once all that it has missed', () => {
  const credit = new Map([['a', -1]]);
  const { credit: after } = chooseInstance('round_robin', [one('a')], credit);
  const back = new Map([...credit, ...after]);
  expect(chooseInstance('round_robin', [one('a'), one('b')], back).id).toBe('b');
  expect(Math.max(...back.values())).toBeLessThanOrEqual(1);
});

test('the least outstanding calls by weight win, and equals are called by round robin', () => {
  expect(rounds('least_outstanding', [one('a', 1, 3), one('b', 1, 2)], 2)).toEqual(['b', 'b']);
  expect(rounds('least_outstanding', [one('a', 4, 3), one('b', 1, 1)], 2)).toEqual(['a', 'a']);
  expect(rounds('least_outstanding', [one('a', 1, 1), one('b', 1, 1), one('c', 1, 5)], 4)).toEqual([
    'a',
    'b',
    'a',
    'b',
  ]);
});

test('the unhealthy are left to the last, the expired are never called', () => {
  const instance = (instanceId: string, health: 'unknown' | 'healthy' | 'unhealthy', expired = false) => ({
    instanceId,
    health,
    expired,
    weight: 1,
  });
  const all = [
    instance('new', 'unknown'),
    instance('well', 'healthy'),
    instance('ill', 'unhealthy'),
    instance('gone', 'healthy', true),
  ];
  const ids = (may: (id: string) => boolean) =>
    callable(all, ({ instanceId }) => may(instanceId)).map(({ instanceId }) => instanceId);
  expect(ids(() => true)).toEqual(['new', 'well']);
  expect(ids((id) => id !== 'new' && id !== 'well')).toEqual(['ill']);
  expect(ids(() => false)).toEqual([]);
  expect(all.map(instanceStatus)).toEqual(['unknown', 'healthy', 'unhealthy', 'expired']);
});

test('a service is what all its instances are whose time is not over, else degraded', () => {
  const healthy = { expired: false, health: 'healthy' } as const;
  const unhealthy = { expired: false, health: 'unhealthy' } as const;
  const expired = { expired: true, health: 'healthy' } as const;
  expect(serviceStatus([healthy, { ...unhealthy, expired: true }])).toBe('healthy');
  expect(serviceStatus([healthy, unhealthy])).toBe('degraded');
  expect(serviceStatus([unhealthy, unhealthy])).toBe('unhealthy');
  expect(serviceStatus([expired])).toBe('expired');
});
