import { beforeAll, describe, expect, test } from 'vitest';
import { meteredAccepts } from '../../../src/compose/api/metrics.ts';
import { meteredEgress } from '../../../src/compose/worker/metrics.ts';
import { OrchestratorError } from '../../../src/domain/errors.ts';
import { EgressError } from '../../../src/egress/errors.ts';
import type { AcceptRuns } from '../../../src/engine/ports/use-cases.ts';
import { exposition, type Family } from '../../../src/telemetry/exposition.ts';
import { type ParsedFamily, parseExposition } from '../../support/parse-exposition.ts';
import { type Doors, registeredMetrics, TRACE } from '../../support/registries.ts';

let doors: Doors;
beforeAll(async () => {
  doors = await registeredMetrics();
});

describe.each(['api', 'worker'] as const)('the metrics of the %s', (door) => {
  test.each(['text', 'openmetrics'] as const)('is well-formed %s', async (format) => {
    const families = parseExposition(await doors[door].metrics(format), format);
    expect(families.size).toBeGreaterThan(40);
    for (const { name, samples } of families.values()) {
      if (!/^(?:orchestrator|http)_/.test(name)) continue;
      expect(samples.length, `${name} has been counted`).toBeGreaterThan(0);
      for (const { labels } of samples) expect(labels['service'], name).toBeDefined();
    }
  });

  test('has the same names and values in both formats', async () => {
    const [text, open] = await Promise.all(
      (['text', 'openmetrics'] as const).map(async (format) =>
        parseExposition(await doors[door].metrics(format), format),
      ),
    );
    const samples = (families: Map<string, ParsedFamily> | undefined) =>
      [...(families?.values() ?? [])]
        .filter(({ name }) => /^(?:orchestrator|http)_/.test(name))
        .flatMap((family) => family.samples)
        .map(({ name, labels: { le, ...labels }, value }) => ({
          name,
          labels: le === undefined ? labels : { ...labels, le: le === '+Inf' ? le : String(Number(le)) },
          value: /_age_|_lag_|_timestamp_/.test(name) ? 0 : value,
        }));
    expect(samples(open)).toEqual(samples(text));
  });
});

test('histograms of requests, tasks and executions point at traces, in OpenMetrics only', async () => {
  const families = parseExposition(await doors.worker.metrics('openmetrics'), 'openmetrics');
  const pointed = (name: string) =>
    families
      .get(name)
      ?.samples.flatMap(({ labels, exemplar }) => (exemplar === undefined ? [] : [{ le: labels['le'], ...exemplar }]));
  expect(pointed('http_request_duration_seconds')).toEqual([
    { le: '0.025', labels: { trace_id: `${TRACE}1` }, value: 0.02, timestamp: expect.any(Number) },
    { le: '0.025', labels: { trace_id: `${TRACE}1` }, value: 0.02, timestamp: expect.any(Number) },
  ]);
  expect(pointed('orchestrator_task_execution_seconds')).toEqual([
    { le: '0.005', labels: { trace_id: `${TRACE}2` }, value: expect.any(Number), timestamp: expect.any(Number) },
  ]);
  // Where no run has been counted yet there are no buckets to put it into.
  expect(pointed('orchestrator_run_execution_seconds')).toEqual([
    { le: '0.25', labels: { trace_id: `${TRACE}3` }, value: 0.2, timestamp: 1_800_000_000.5 },
  ]);
  expect(await doors.worker.metrics('text')).not.toContain('trace_id');
});

test('what is odd in a name or a value is shown in a form that can be read', () => {
  const family = {
    name: 'odd_total',
    help: 'Says "so" \\ and\nmore',
    type: 'counter',
    aggregator: 'sum',
    values: [{ labels: { name: 'a "b"\\\n' }, value: Number.POSITIVE_INFINITY }],
  } as unknown as Family; // prom-client's type is an enum that no text has.
  for (const format of ['text', 'openmetrics'] as const) {
    const [parsed] = parseExposition(exposition([family], format), format).values();
    expect(parsed?.samples).toEqual([
      { name: 'odd_total', labels: { name: 'a \\"b\\"\\\\\\n' }, value: Number.POSITIVE_INFINITY },
    ]);
  }
});

test('hundreds of names, tenants, paths and codes from outside make a bounded number of series', async () => {
  const many = await registeredMetrics();
  const series = async () =>
    [
      ...parseExposition(await many.worker.metrics('text'), 'text').values(),
      ...parseExposition(await many.api.metrics('text'), 'text').values(),
    ].reduce((sum, { samples }) => sum + samples.length, 0);
  const post = (round: number) => {
    for (let number = 0; number < 1_000; number += 1) {
      const name = `tenant-${round}-${number}`;
      many.services.callPutOff(name);
      many.workerMetrics.worker.requested(name, 1);
      many.apiMetrics.problem(name);
      many.shared.taskRetried(name, 'wait');
      many.shared.answered({ method: name, endpoint: 'other', status: 404, seconds: 1 });
    }
  };
  post(0);
  const first = await series();
  expect(first).toBeLessThan(5_000);
  post(1);
  expect(await series()).toBe(first);
});

const ACCEPTS = { acceptTask: () => Promise.resolve({}) } as unknown as AcceptRuns;

test.each([
  ['accepted', undefined],
  ['refused', new OrchestratorError('definition_invalid', 'no')],
  ['turned_away', new OrchestratorError('overloaded', 'no')],
  ['turned_away', new OrchestratorError('queue_full', 'no')],
  ['failed', new OrchestratorError('unavailable', 'no')],
  ['failed', new Error('the database has gone')],
])('an acceptance is counted as %s', async (result, error) => {
  const told: string[] = [];
  const inner = error === undefined ? ACCEPTS : { ...ACCEPTS, acceptTask: () => Promise.reject(error) };
  const accepts = meteredAccepts(inner, (found) => told.push(found));
  const caller = { userId: 'u', tenantId: 't', correlationId: undefined, traceId: TRACE, parentSpanId: undefined };
  const outcome = await accepts
    .acceptTask(caller, { task_type: 'wait', params: {} }, undefined)
    .catch((thrown) => thrown);
  if (error !== undefined) expect(outcome).toBe(error);
  expect(told).toEqual([result]);
});

test('a request to the outside is counted by the class of its status, or by why there was none', async () => {
  const told: string[] = [];
  const answers: Array<() => Promise<never>> = [
    () => Promise.resolve({ status: 204 } as never),
    () => Promise.resolve({ status: 503 } as never),
    () => Promise.reject(new EgressError('denied', 'no')),
    () => Promise.reject(new EgressError('unreachable', 'no')),
    () => Promise.reject(new Error('aborted by its deadline')),
  ];
  const egress = meteredEgress(
    {
      fetch: () => (answers.shift() ?? (() => Promise.reject(new Error('none left'))))(),
      close: () => Promise.resolve(),
    },
    (result) => told.push(result),
  );
  for (let count = 0; count < 5; count += 1) {
    await egress.fetch('http://there', { signal: new AbortController().signal }).catch(() => undefined);
  }
  expect(told).toEqual(['2xx', '5xx', 'denied', 'unreachable', 'aborted']);
});
