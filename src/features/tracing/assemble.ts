/** The export of spans of one process: undefined where no collector is configured, and then nothing is loaded for it. */
import { randomBytes, randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import type { Registry } from 'prom-client';
import type { Config } from '../../config/config.ts';
import { errorMessage } from '../../domain/texts/error-message.ts';
import type { Logger } from '../../engine/ports/logger.ts';
import type { SpanExport } from '../../engine/tracing/span-export.ts';
import { saysUnsampled } from '../../engine/tracing/span-ids.ts';
import type { OtlpSender } from '../../telemetry/otlp.ts';
import { createSampler } from '../../telemetry/sampling.ts';
import { createSpanIds } from '../../telemetry/span-ids.ts';
import { spanCounter } from '../../telemetry/span-metrics.ts';
import { VERSION } from '../../version.ts';

export interface Traces extends SpanExport {
  /** Comes before the first span; counts in this registry what became of them. */
  start(registry: Registry): Promise<void>;
  /** Of spans that never came to be. */
  lost(spans: number): void;
  /** Sends what remains, within the grace time. */
  stop(): Promise<void>;
}

const LOG_EVERY_MS = 60_000;
const LONGEST_END_MS = 5_000;

export function tracesOf(
  { traceExport, shutdownGraceSeconds, nodeEnv }: Pick<Config, 'traceExport' | 'shutdownGraceSeconds' | 'nodeEnv'>,
  process: 'api' | 'worker',
  log: Logger,
): Traces | undefined {
  if (traceExport === undefined) return undefined;
  const { url, headers, serviceName, sampler, ratio } = traceExport;
  const decide = createSampler(sampler, ratio);
  let count: (result: 'exported' | 'dropped', spans: number) => void = () => undefined;
  let sender: OtlpSender | undefined;
  let unsaid = 0;
  let saidAt = Number.NEGATIVE_INFINITY;
  const failed = (reason: string, spans: number) => {
    unsaid += spans;
    if (performance.now() - saidAt < LOG_EVERY_MS) return;
    log.warn('spans_dropped', { spans: unsaid, reason });
    saidAt = performance.now();
    unsaid = 0;
  };
  return {
    isSampled: (traceId, parentSpan) =>
      decide(traceId, parentSpan === null || parentSpan === undefined ? undefined : !saysUnsampled(parentSpan)),
    newSpanId: createSpanIds(),
    newTraceId: () => randomBytes(16).toString('hex'),
    add(span) {
      try {
        sender?.add(span);
      } catch (error) {
        // Whatever is wrong with a span, the work that it describes goes on.
        count('dropped', 1);
        failed(errorMessage(error), 1);
      }
    },
    lost(spans) {
      count('dropped', spans);
      failed('they could not be read', spans);
    },
    async start(registry) {
      count = spanCounter(registry);
      const { createOtlpSender } = await import('../../telemetry/otlp.ts');
      sender = createOtlpSender({
        url,
        headers,
        version: VERSION,
        resource: {
          'service.name': serviceName,
          'service.version': VERSION,
          'service.instance.id': randomUUID(),
          'host.name': hostname(),
          'orchestrator.process': process,
          'deployment.environment.name': nodeEnv,
        },
        onResult: count,
        failed,
      });
    },
    async stop() {
      await sender?.close(Math.min(LONGEST_END_MS, shutdownGraceSeconds * 1_000));
      if (unsaid > 0) log.warn('spans_dropped', { spans: unsaid, reason: 'the process is stopping' });
    },
  };
}
