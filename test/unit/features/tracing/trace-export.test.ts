import { ROOT_CONTEXT } from '@opentelemetry/api';
import { SamplingDecision, TraceIdRatioBasedSampler } from '@opentelemetry/sdk-trace';
import { afterEach, describe, expect, test } from 'vitest';
import { loadConfig } from '../../../../src/config/config.ts';
import type { EndedSpan } from '../../../../src/domain/ended-span.ts';
import { parentIdOf, saysUnsampled, storedParent, traceparentOf } from '../../../../src/engine/tracing/span-ids.ts';
import { createEndedRuns, type EndedRunReader } from '../../../../src/features/tracing/export-ended-runs.ts';
import { readContext } from '../../../../src/http/middleware/context.ts';
import { createOtlpSender, type OtlpOptions } from '../../../../src/telemetry/otlp.ts';
import { createSampler } from '../../../../src/telemetry/sampling.ts';
import { createTestLog } from '../../../harness/test-log.ts';
import { until } from '../../../harness/until.ts';
import { type OtlpReceiver, startOtlpReceiver } from '../../../support/otlp-receiver.ts';

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const SPAN = '00f067aa0ba902b7';
const traceIds = Array.from({ length: 400 }, (_, n) =>
  ((BigInt(n + 1) * 0x9e3779b97f4a7c15f39cc0605cedc834n) % 2n ** 128n).toString(16).padStart(32, '0'),
);

describe('samplers', () => {
  test('parentbased ones do as the caller says, and by their name where there is none', () => {
    const on = createSampler('parentbased_always_on', 1);
    const off = createSampler('parentbased_always_off', 1);
    expect([on(TRACE), on(TRACE, false), off(TRACE), off(TRACE, true)]).toEqual([true, false, false, true]);
    expect([createSampler('always_on', 0)(TRACE, false), createSampler('always_off', 1)(TRACE, true)]).toEqual([
      true,
      false,
    ]);
    const ratio = createSampler('parentbased_traceidratio', 0);
    expect([ratio(TRACE, true), ratio(TRACE)]).toEqual([true, false]);
  });

  test.each([0, 0.1, 0.5, 1])('a share of %s is the one that OpenTelemetry takes', (ratio) => {
    const theirs = new TraceIdRatioBasedSampler(ratio);
    const taken = (id: string) =>
      theirs.shouldSample(ROOT_CONTEXT, id).decision === SamplingDecision.RECORD_AND_SAMPLED;
    const ours = createSampler('traceidratio', ratio);
    expect(traceIds.map((id) => ours(id))).toEqual(traceIds.map(taken));
    expect(Math.abs(traceIds.filter((id) => ours(id)).length / traceIds.length - ratio)).toBeLessThan(0.1);
  });
});

test('what started a run says whether its trace is sampled, and so does what it calls', () => {
  expect([storedParent(SPAN, true), storedParent(SPAN, false)]).toEqual([SPAN, `${SPAN}-00`]);
  expect([SPAN, `${SPAN}-00`].map((stored) => [parentIdOf(stored), saysUnsampled(stored)])).toEqual([
    [SPAN, false],
    [SPAN, true],
  ]);
  expect([saysUnsampled(null), saysUnsampled(undefined)]).toEqual([false, false]);
  expect(traceparentOf(TRACE, SPAN, false)).toBe(`00-${TRACE}-${SPAN}-00`);
});

describe('a request', () => {
  const asking = (traceparent?: string) => ({
    get: (name: string) => (name === 'traceparent' ? traceparent : undefined),
  });
  const own = { newSpanId: () => 'a'.repeat(16), isSampled: createSampler('parentbased_always_on', 1) };
  const spans = {
    ...own,
    isSampled: (id: string, stored?: string | null) => own.isSampled(id, stored ? !saysUnsampled(stored) : undefined),
  };

  test('has a span of its own below that of the client, and above what it starts', () => {
    const sent = `00-${TRACE}-${SPAN}-01`;
    expect(readContext(asking(sent), spans)).toMatchObject({
      ...{ traceparent: sent, parentSpanId: 'a'.repeat(16), span: { spanId: 'a'.repeat(16), parentId: SPAN } },
    });
    const alone = readContext(asking(), spans);
    expect(alone.span).toEqual({ spanId: alone.traceparent.split('-')[2], parentId: null });
    expect(alone.parentSpanId).toBe(alone.span?.spanId);
  });

  test('that is not sampled has none, and says so to what it starts', () => {
    const sent = `00-${TRACE}-${SPAN}-00`;
    expect(readContext(asking(sent), spans)).toMatchObject({ parentSpanId: `${'a'.repeat(16)}-00`, span: undefined });
    const none = readContext(asking(), { ...spans, isSampled: () => false });
    expect(none).toMatchObject({ traceparent: expect.stringMatching(/-00$/), span: undefined });
  });

  test('is left as it was where nothing is exported', () => {
    expect(readContext(asking(`00-${TRACE}-${SPAN}-01`))).toMatchObject({ parentSpanId: SPAN, span: undefined });
    expect(readContext(asking(`00-${TRACE}-${SPAN}-02`))).toMatchObject({ parentSpanId: `${SPAN}-00` });
    expect(readContext(asking()).parentSpanId).toBe(undefined);
  });
});

describe('the settings', () => {
  const load = (environment: Record<string, string>) =>
    loadConfig({ SECRETS_DIR: '/nowhere', ...environment }, { cwd: '/' }).traceExport;
  const endpoint = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://otel:4318/' };

  test('are those of OpenTelemetry', () => {
    expect(load({})).toBe(undefined);
    expect(load({ ...endpoint, OTEL_SDK_DISABLED: 'true' })).toBe(undefined);
    expect(load({ ...endpoint, OTEL_EXPORTER_OTLP_HEADERS: 'authorization=Bearer%20x%3D1, x-tenant = a' })).toEqual({
      ...{ url: 'http://otel:4318/v1/traces', serviceName: 'orchestrator', sampler: 'parentbased_always_on', ratio: 1 },
      headers: { authorization: 'Bearer x=1', 'x-tenant': 'a' },
    });
    const whole = { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://other/traces', OTEL_TRACES_SAMPLER: 'traceidratio' };
    expect(load({ ...endpoint, ...whole, OTEL_TRACES_SAMPLER_ARG: '0.25', OTEL_SERVICE_NAME: 'flows' })).toMatchObject({
      ...{ url: 'http://other/traces', sampler: 'traceidratio', ratio: 0.25, serviceName: 'flows' },
    });
  });

  test.each([
    { OTEL_EXPORTER_OTLP_HEADERS: 'nothing' },
    { OTEL_EXPORTER_OTLP_HEADERS: 'a=%zz' },
    { OTEL_EXPORTER_OTLP_HEADERS: 'a=b%0d%0ac: d' },
    { OTEL_TRACES_SAMPLER: 'jaeger_remote' },
    { OTEL_TRACES_SAMPLER_ARG: '2' },
  ])('are refused when they make no sense: %o', (wrong) => {
    expect(() => load({ ...endpoint, ...wrong })).toThrow(Object.keys(wrong)[0]);
  });

  test('hide the headers, each value by itself too', () => {
    const config = loadConfig(
      { SECRETS_DIR: '/nowhere', ...endpoint, OTEL_EXPORTER_OTLP_HEADERS: 'x-token=s3cret%21' },
      { cwd: '/' },
    );
    expect(config.hidden).toContain('s3cret!');
    expect(JSON.stringify(config.effective)).not.toContain('s3cret');
  });
});

describe('the sender', () => {
  let receiver: OtlpReceiver | undefined;
  afterEach(async () => {
    await receiver?.close();
    receiver = undefined;
  });
  const span = (n: number, more: Partial<EndedSpan> = {}): EndedSpan => ({
    ...{ traceId: TRACE, spanId: String(n).padStart(16, '0'), parentId: SPAN, name: `span ${n}`, kind: 'client' },
    ...{ startMs: 1_700_000_000_000.25, endMs: 1_700_000_000_001.5, attributes: { text: 'x', number: 3, yes: true } },
    ...more,
  });
  function sender(url: string, more: Partial<OtlpOptions> = {}) {
    const told = { exported: 0, dropped: 0 };
    const reasons: string[] = [];
    const sending = createOtlpSender({
      ...{ url: `${url}/v1/traces`, headers: { 'x-token': 't' }, resource: { 'service.name': 'flows' }, version: '1' },
      onResult: (result, spans) => {
        told[result] += spans;
      },
      failed: (reason) => reasons.push(reason),
      ...more,
    });
    return { sending, told, reasons };
  }

  test('sends its spans as protobuf, also at the very end', async () => {
    receiver = await startOtlpReceiver();
    const { sending, told } = sender(receiver.url);
    sending.add(span(1));
    sending.add(
      span(2, {
        parentId: null,
        error: { type: 'timeout', message: 'late' },
        links: [{ traceId: TRACE, spanId: SPAN }],
      }),
    );
    await sending.close(10_000);
    expect(told).toEqual({ exported: 2, dropped: 0 });
    expect(receiver.requests).toMatchObject([{ 'content-type': 'application/x-protobuf', 'x-token': 't' }]);
    const common = { traceId: TRACE, kind: 'client', resource: { 'service.name': 'flows' } };
    expect(receiver.spans).toEqual([
      {
        ...{
          ...common,
          spanId: '0000000000000001',
          parentId: SPAN,
          name: 'span 1',
          links: [],
          failed: false,
          message: '',
        },
        ...{
          startMs: 1_700_000_000_000.25,
          endMs: 1_700_000_000_001.5,
          attributes: { text: 'x', number: 3, yes: true },
        },
      },
      expect.objectContaining({
        ...{ ...common, parentId: '', failed: true, message: 'late', links: [{ traceId: TRACE, spanId: SPAN }] },
        attributes: { text: 'x', number: 3, yes: true, 'error.type': 'timeout' },
      }),
    ]);
    sending.add(span(3));
    expect(told).toEqual({ exported: 2, dropped: 1 });
  });

  test('keeps only so many while the collector is away, and counts every one that it drops', async () => {
    receiver = await startOtlpReceiver();
    const { url } = receiver;
    await receiver.close();
    receiver = undefined;
    const { sending, told, reasons } = sender(url, { maxSpans: 3 });
    for (let n = 1; n <= 5; n += 1) sending.add(span(n));
    expect(told).toEqual({ exported: 0, dropped: 2 });
    await sending.close(50);
    expect(told).toEqual({ exported: 0, dropped: 5 });
    expect(reasons).toEqual(['there is no room for more', 'there is no room for more', 'the process is stopping']);
  });
});

test('runs that ended are read together, each once, and one that cannot be read is dropped', async () => {
  const asked: string[][] = [];
  const lost: number[] = [];
  const told: string[] = [];
  const reader: EndedRunReader = {
    async spans(ids) {
      asked.push([...ids]);
      if (ids.includes('bad')) throw new Error('gone');
      return ids.map((id) => ({
        ...{ traceId: TRACE, spanId: id, parentId: null, name: id, kind: 'internal' as const },
        startMs: 0,
        endMs: 1,
        attributes: {},
      }));
    },
  };
  const ended = createEndedRuns({
    reader,
    add: ({ name }) => told.push(name),
    dropped: (runs) => lost.push(runs),
    log: createTestLog(),
  });
  for (const id of ['a', 'b', 'a']) ended.notice(id);
  await until(() => told.length === 2, { what: 'they are told' });
  ended.notice('bad');
  await ended.stop();
  ended.notice('late');
  expect({ asked, told, lost }).toEqual({ asked: [['a', 'b'], ['bad']], told: ['a', 'b'], lost: [1, 1] });
});
