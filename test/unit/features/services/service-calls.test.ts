import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { createCircuit } from '../../../../src/features/services/circuit.ts';
import { DEFAULT_SETTINGS, type ServiceSettings } from '../../../../src/features/services/domain.ts';
import type { Service, ServiceInstance } from '../../../../src/features/services/ports.ts';
import { asConfigured } from '../../../../src/features/services/registry.ts';
import {
  type CircuitChange,
  createServiceCalls,
  type Permit,
  type PermitRequest,
} from '../../../../src/features/services/service-calls.ts';
import { createServiceDirectory } from '../../../../src/features/services/service-directory.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const never = new AbortController().signal;
const FIRST: PermitRequest = { besides: [], again: false };

function service(instances: Array<Partial<ServiceInstance>>, settings: Partial<ServiceSettings> = {}): Service {
  const [only] = asConfigured('s', 'http://s', undefined).instances;
  if (only === undefined) throw new Error('a configured service has one instance');
  return {
    ...asConfigured('s', 'http://s', undefined),
    settings: { ...DEFAULT_SETTINGS, ...settings },
    instances: instances.map((instance, n) => ({ ...only, instanceId: `i${n}`, ...instance })),
  };
}

function open(breakers = true) {
  const changes: CircuitChange[] = [];
  const calls = createServiceCalls({
    now: Date.now,
    random: () => 0,
    breakers,
    onChange: (change) => void changes.push(change),
  });
  const place = (of: Service, ask = FIRST, signal = never) => calls.permit('t', of, ask, signal);
  return { calls, place, changes };
}

async function end(place: Permit, outcome: 'answered' | 'failed' | 'unclear'): Promise<void> {
  if (place.is !== 'permit') throw new Error(`no permit: ${place.is}`);
  place.end(outcome);
  await vi.advanceTimersByTimeAsync(0);
}

test('failures in a row open the circuit, a success between them does not, and what is unclear counts for nothing', async () => {
  const { place, changes } = open();
  const one = service([{}], { breaker: { failure_threshold: 2, recovery_timeout: 60 } });
  for (const outcome of ['failed', 'answered', 'failed', 'unclear'] as const) await end(await place(one), outcome);
  expect(changes).toEqual([]);
  await end(await place(one), 'failed');
  expect(changes).toEqual([{ tenantId: 't', name: 's', instanceId: 'i0', state: 'open' }]);
  expect(await place(one)).toEqual({ is: 'open', waitMs: 60_000 });
});

test('after its recovery time one call is let through and decides', async () => {
  const { place, changes } = open();
  const one = service([{}], { breaker: { failure_threshold: 1, recovery_timeout: 60 } });
  await end(await place(one), 'failed');
  await vi.advanceTimersByTimeAsync(59_000);
  expect(await place(one)).toEqual({ is: 'open', waitMs: 1_000 });
  await vi.advanceTimersByTimeAsync(1_000);
  const probe = await place(one);
  expect(probe).toMatchObject({ is: 'permit', instanceId: 'i0' });
  expect(await place(one)).toEqual({ is: 'open', waitMs: 1_000 });
  await end(probe, 'failed');
  expect(await place(one)).toEqual({ is: 'open', waitMs: 60_000 });
  await vi.advanceTimersByTimeAsync(60_000);
  // Nobody knows how it would have ended.
  await end(await place(one), 'unclear');
  expect(await place(one)).toMatchObject({ is: 'open' });
  await vi.advanceTimersByTimeAsync(60_000);
  await end(await place(one), 'answered');
  expect(await place(one)).toMatchObject({ is: 'permit' });
  const states = changes.map(({ state }) => state);
  expect(states).toEqual(['open', 'half_open', 'open', 'half_open', 'open', 'half_open', 'closed']);
});

test('without circuit breakers nothing opens, however often calls fail', async () => {
  const { place, changes, calls } = open(false);
  const one = service([{}], { breaker: { failure_threshold: 1, recovery_timeout: 60 } });
  for (let n = 0; n < 20; n += 1) {
    const next = await place(one);
    expect(next).toMatchObject({ is: 'permit' });
    await end(next, 'failed');
  }
  expect(changes).toEqual([]);
  expect(calls.circuits()).toMatchObject([{ state: 'closed' }]);
});

test('an instance whose circuit is open is left out while there is another, also for tenants each on their own', async () => {
  const { place, calls } = open();
  const two = service([{}, {}], { breaker: { failure_threshold: 1, recovery_timeout: 60 } });
  await end(await place(two), 'failed');
  for (let n = 0; n < 4; n += 1) {
    const next = await place(two);
    expect(next).toMatchObject({ instanceId: 'i1' });
    await end(next, 'answered');
  }
  expect(await place(two, { besides: ['i1'], again: true })).toEqual({ is: 'open', waitMs: 60_000 });
  expect(await place(two, { besides: ['i0', 'i1'], again: true })).toEqual({ is: 'none' });
  expect(await calls.permit('another', two, FIRST, never)).toMatchObject({ instanceId: 'i0' });
  expect(calls.circuits().map(({ tenantId, instanceId, state }) => `${tenantId} ${instanceId} ${state}`)).toEqual([
    't i0 open',
    't i1 closed',
    'another i0 closed',
    'another i1 closed',
  ]);
});

test('an instance at another address starts with a closed circuit, and one that is gone leaves none behind', async () => {
  const { place, changes, calls } = open();
  const settings = { breaker: { failure_threshold: 1, recovery_timeout: 60 } };
  await end(await place(service([{}], settings)), 'failed');
  await end(await place(service([{ baseUrl: 'http://moved' }], settings)), 'failed');
  await place(service([{ instanceId: 'other' }], settings));
  expect(changes.map(({ instanceId, state }) => `${instanceId} ${state}`)).toEqual([
    'i0 open',
    'i0 closed',
    'i0 open',
    'i0 closed',
  ]);
  expect(calls.circuits()).toMatchObject([{ instanceId: 'other', state: 'closed' }]);
});

test('no more calls than the bulkhead are under way; the next waits a moment, and then makes room for others', async () => {
  const { place } = open();
  const one = service([{}], { bulkhead: 2 });
  const [first, second] = [await place(one), await place(one)];
  const third = place(one);
  await vi.advanceTimersByTimeAsync(400);
  await end(first, 'answered');
  expect(await third).toMatchObject({ is: 'permit' });
  const late = place(one);
  await vi.advanceTimersByTimeAsync(500);
  expect(await late).toEqual({ is: 'full', waitMs: 1_000 });
  // Those who gave up have not taken a slot with them.
  const cancelled = new AbortController();
  const gone = place(one, FIRST, cancelled.signal);
  const refused = expect(gone).rejects.toThrow('cancelled');
  cancelled.abort(new Error('cancelled'));
  await refused;
  const waiting = place(one);
  await end(second, 'answered');
  expect(await waiting).toMatchObject({ is: 'permit' });
});

test('calls again within an attempt end with the budget of the service', async () => {
  const { place } = open();
  const two = service([{}, {}]);
  const again = { besides: ['i0'], again: true };
  const answers: string[] = [];
  for (let n = 0; n < 4; n += 1) {
    const next = await place(two, again);
    answers.push(next.is);
    if (next.is === 'permit') await end(next, 'answered');
  }
  expect(answers).toEqual(['permit', 'permit', 'permit', 'none']);
  expect(await place(two)).toMatchObject({ is: 'permit' });
});

test('a call ends once, whoever says so again', async () => {
  const { place } = open();
  const two = service([{}, {}], { timeout_seconds: 7, load_balancing: 'least_outstanding' });
  const next = await place(two);
  expect(next).toMatchObject({ instanceId: 'i0', timeoutSeconds: 7, baseUrl: 'http://s' });
  await end(next, 'failed');
  await end(next, 'failed');
  // Otherwise it would seem to have less than nothing to do.
  expect(await place(two)).toMatchObject({ instanceId: 'i1' });
});

test('a half-open circuit takes no second call, not even for later', async () => {
  const states: string[] = [];
  const circuit = createCircuit(
    { failure_threshold: 1, recovery_timeout: 1 },
    { now: Date.now, onChange: (name) => states.push(name) },
  );
  circuit.enter()?.('failed');
  await vi.advanceTimersByTimeAsync(1_000);
  const decides = circuit.enter();
  expect([states.at(-1), circuit.outstanding(), circuit.enter()]).toEqual(['half_open', 1, undefined]);
  decides?.('failed');
  await vi.advanceTimersByTimeAsync(1_000);
  // What was turned away has not become the call that decides.
  circuit.enter()?.('answered');
  await vi.advanceTimersByTimeAsync(0);
  expect([states.at(-1), circuit.outstanding()]).toEqual(['closed', 0]);
});

test('a service is cached for a second, what is unknown or could not be read is not', async () => {
  let now = 0;
  const asked: string[] = [];
  let answer: () => Promise<Service | undefined> = () => Promise.resolve(service([{}]));
  const directory = createServiceDirectory({
    now: () => now,
    find(tenantId, name) {
      asked.push(`${tenantId}/${name}`);
      return answer();
    },
  });
  await Promise.all([directory.find('t', 's'), directory.find('t', 's'), directory.find('u', 's')]);
  expect(asked).toEqual(['t/s', 'u/s']);
  now = 999;
  await directory.find('t', 's');
  expect(asked).toHaveLength(2);
  directory.forget();
  await directory.find('t', 's');
  now = 2_000;
  await directory.find('t', 's');
  expect(asked).toHaveLength(4);
  answer = () => Promise.resolve(undefined);
  expect(await directory.find('t', 'x')).toBeUndefined();
  answer = () => Promise.reject(new Error('away'));
  await expect(directory.find('t', 'x')).rejects.toThrow('away');
  answer = () => Promise.resolve(service([{}]));
  expect(await directory.find('t', 'x')).toBeDefined();
});
