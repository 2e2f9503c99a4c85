/**
 * Sends spans to a collector (OTLP, http/protobuf). Loaded only where one is configured. At most `maxSpans` are in memory,
 * those under way included; what comes when that many wait, and what the collector does not take, is dropped and counted.
 */
import {
  type Attributes,
  type HrTime,
  type SpanContext,
  SpanKind,
  SpanStatusCode,
  TraceFlags,
} from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { BatchSpanProcessor, type ReadableSpan, type SpanExporter } from '@opentelemetry/sdk-trace';
import type { EndedSpan } from '../domain/ended-span.ts';

export interface OtlpOptions {
  url: string;
  headers: Readonly<Record<string, string>>;
  /** What it says of this process. */
  resource: Attributes;
  version: string;
  onResult(result: 'exported' | 'dropped', spans: number): void;
  /** Says in words why spans were dropped; called for each time. */
  failed(reason: string, spans: number): void;
  maxSpans?: number;
}

export interface OtlpSender {
  add(span: EndedSpan): void;
  /** Sends what is left, for at most `graceMs`. */
  close(graceMs: number): Promise<void>;
}

const MAX_SPANS = 8_192;
const PER_REQUEST = 512;
const SEND_EVERY_MS = 1_000;
/** Of one request with its retries. */
const REQUEST_MS = 5_000;
const KINDS = {
  server: SpanKind.SERVER,
  client: SpanKind.CLIENT,
  producer: SpanKind.PRODUCER,
  consumer: SpanKind.CONSUMER,
  internal: SpanKind.INTERNAL,
};

export function createOtlpSender(options: OtlpOptions): OtlpSender {
  const { onResult, failed, maxSpans = MAX_SPANS } = options;
  const exporter = new OTLPTraceExporter({
    url: options.url,
    headers: { ...options.headers },
    timeoutMillis: REQUEST_MS,
  });
  let waiting = 0;
  let closed = false;
  const drop = (spans: number, reason: string) => {
    onResult('dropped', spans);
    failed(reason, spans);
  };
  const counted: SpanExporter = {
    export: (spans, done) =>
      exporter.export(spans, (result) => {
        // Those that were abandoned when this process stopped are counted by then.
        if (!closed) {
          waiting -= spans.length;
          if (result.code === 0) onResult('exported', spans.length);
          else drop(spans.length, result.error?.message ?? 'the collector did not take them');
        }
        done(result);
      }),
    shutdown: () => exporter.shutdown(),
  };
  const processor = new BatchSpanProcessor({
    exporter: counted,
    maxQueueSize: maxSpans,
    maxExportBatchSize: Math.min(PER_REQUEST, maxSpans),
    scheduledDelayMillis: SEND_EVERY_MS,
    exportTimeoutMillis: REQUEST_MS * 2,
  });
  const resource = resourceFromAttributes(options.resource);
  const scope = { name: 'orchestrator', version: options.version };

  return {
    add(span) {
      if (closed || waiting >= maxSpans) return drop(1, 'there is no room for more');
      waiting += 1;
      processor.onEnd(toReadable(span, resource, scope));
    },
    async close(graceMs) {
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, graceMs);
      });
      // What the collector did not take has been counted.
      await Promise.race([processor.shutdown().catch(() => undefined), late]);
      clearTimeout(timer);
      closed = true;
      if (waiting > 0) drop(waiting, 'the process is stopping');
    },
  };
}

function toReadable(
  span: EndedSpan,
  resource: ReadableSpan['resource'],
  instrumentationScope: ReadableSpan['instrumentationScope'],
): ReadableSpan {
  const { traceId, spanId, parentId, name, kind, startMs, endMs, attributes, links = [], error } = span;
  const own = contextOf(traceId, spanId);
  return {
    ...{ name, kind: KINDS[kind], spanContext: () => own, resource, instrumentationScope, ended: true, events: [] },
    ...(parentId === null ? {} : { parentSpanContext: contextOf(traceId, parentId) }),
    startTime: hrTime(startMs),
    endTime: hrTime(endMs),
    duration: hrTime(Math.max(0, endMs - startMs)),
    attributes: error === undefined ? attributes : { ...attributes, 'error.type': error.type },
    links: links.map((link) => ({ context: contextOf(link.traceId, link.spanId) })),
    status: error === undefined ? { code: SpanStatusCode.UNSET } : { code: SpanStatusCode.ERROR, ...messageOf(error) },
    ...{ droppedAttributesCount: 0, droppedEventsCount: 0, droppedLinksCount: 0 },
  };
}

function messageOf({ message }: NonNullable<EndedSpan['error']>): { message?: string } {
  return message === undefined ? {} : { message };
}

function contextOf(traceId: string, spanId: string): SpanContext {
  return { traceId, spanId, traceFlags: TraceFlags.SAMPLED };
}

function hrTime(ms: number): HrTime {
  const seconds = Math.floor(ms / 1_000);
  return [seconds, Math.round((ms - seconds * 1_000) * 1_000_000)];
}
