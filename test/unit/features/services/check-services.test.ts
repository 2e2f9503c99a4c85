import { expect, test } from 'vitest';
import { createServiceChecks } from '../../../../src/features/services/check-services.ts';
import type { CheckResult, DueCheck } from '../../../../src/features/services/ports.ts';
import { createCircuitReporter } from '../../../../src/features/services/report-circuits.ts';
import { createTestLog } from '../../../harness/test-log.ts';

const HOW = { path: '/health', interval_seconds: 10, timeout_seconds: 2, healthy_threshold: 1, unhealthy_threshold: 1 };
const due = (name: string, timeout_seconds = 2): DueCheck => ({
  tenantId: 't',
  name,
  instanceId: 'i',
  baseUrl: `http://${name}`,
  check: { ...HOW, timeout_seconds },
});

function open(
  waiting: DueCheck[],
  answer: (url: string, signal: AbortSignal) => Promise<{ status: number }>,
  configured = new Map<string, string>(),
) {
  const recorded: CheckResult[] = [];
  const asked: Array<{ url: string; trusted: boolean }> = [];
  const log = createTestLog();
  let now = 0;
  const checks = createServiceChecks({
    checks: {
      takeDue: (limit) => Promise.resolve(waiting.splice(0, limit)),
      record(result) {
        recorded.push(result);
        return Promise.resolve(result.error === undefined ? undefined : 'unhealthy');
      },
    },
    configured,
    fetch(url, { trusted, signal }) {
      asked.push({ url, trusted });
      return answer(url, signal);
    },
    now: () => {
      now += 5;
      return now;
    },
    log,
  });
  return { checks, recorded, asked, log };
}
const never = new AbortController().signal;
const whenAborted = (signal: AbortSignal) =>
  new Promise<never>((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)));

test('2xx passes, other answers and none do not, and each says why', async () => {
  const waiting = [due('well'), due('ill'), due('gone'), due('slow', 0.02), due('named')];
  const configured = new Map([['named', 'http://configured']]);
  const answer = async (url: string, signal: AbortSignal) => {
    if (url.includes('gone')) throw new Error('http://gone could not be reached (ECONNREFUSED)');
    if (url.includes('slow')) return whenAborted(signal);
    return { status: url.includes('ill') ? 503 : 204 };
  };
  const { checks, recorded, asked, log } = open(waiting, answer, configured);
  await checks.pass(never);
  await checks.idle();
  const errors = new Map(recorded.map(({ of, error }) => [of.name, error]));
  expect(Object.fromEntries(errors)).toEqual({
    well: undefined,
    ill: 'answered 503',
    gone: 'http://gone could not be reached (ECONNREFUSED)',
    slow: 'no answer within 0.02 s',
    named: undefined,
  });
  expect(recorded.every(({ latencyMs }) => latencyMs > 0)).toBe(true);
  // What a tenant has registered gets its outbound policy, where the configuration says it is nobody's choice.
  expect(asked).toContainEqual({ url: 'http://well/health', trusted: false });
  expect(asked).toContainEqual({ url: 'http://configured/health', trusted: true });
  const told = log.lines.filter(({ event }) => event === 'service_instance_unhealthy');
  expect(told.map(({ fields }) => (fields as { target: string }).target).sort()).toEqual(['gone', 'ill', 'slow']);
});

test('no more than twenty checks are under way, and a slow one delays no other', async () => {
  const waiting = Array.from({ length: 30 }, (_, n) => due(`s${n}`));
  const ends: Array<() => void> = [];
  const { checks, recorded, asked } = open(
    waiting,
    () => new Promise((resolve) => ends.push(() => resolve({ status: 200 }))),
  );
  await checks.pass(never);
  await checks.pass(never);
  expect(asked).toHaveLength(20);
  ends[7]?.();
  while (recorded.length === 0) await new Promise((resolve) => setImmediate(resolve));
  await checks.pass(never);
  expect(asked).toHaveLength(21);
  for (const end of ends) end();
  await checks.idle();
});

test('a configured service is checked where the configuration says, and a check that is stopped says nothing', async () => {
  const stopping = new AbortController();
  const configured = new Map([['doc_store', 'http://configured']]);
  const { checks, recorded, asked } = open([due('Doc-Store')], (_url, signal) => whenAborted(signal), configured);
  await checks.pass(stopping.signal);
  expect(asked.map(({ url }) => url)).toEqual(['http://configured/health']);
  stopping.abort();
  await checks.idle();
  expect(recorded).toEqual([]);
});

test('of what happens to a circuit between two batches the last is stored, and again when it could not be stored', async () => {
  const written: string[][] = [];
  let fails = true;
  const tell = createCircuitReporter({
    worker: 'w',
    circuits: {
      write: async (worker, changes) => {
        if (fails) throw new Error('away');
        written.push([worker, ...changes.map(({ instanceId, state }) => `${instanceId} ${state}`)]);
      },
      clear: () => Promise.resolve(),
      list: () => Promise.resolve([]),
    },
  });
  const change = (instanceId: string, state: 'open' | 'closed' | 'half_open') =>
    tell.changed({ tenantId: 't', name: 's', instanceId, state });
  await tell.flush();
  change('a', 'open');
  change('b', 'open');
  await expect(tell.flush()).rejects.toThrow('away');
  change('a', 'half_open');
  change('a', 'closed');
  fails = false;
  await tell.flush();
  await tell.flush();
  expect(written).toEqual([['w', 'a closed', 'b open']]);
});
