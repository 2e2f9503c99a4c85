/** Metrics that every process has of itself. What all processes count together is in shared-metrics.ts. */
import { collectDefaultMetrics, type Metric, Registry } from 'prom-client';
import { createInstruments, type Instruments } from './instruments.ts';
import { cached } from './kept.ts';

/** One statement for what several callers had ready. */
export interface GroupedWrite {
  what: 'outcomes' | 'runs';
  items: number;
  seconds: number;
  stored: boolean;
}

export interface ProcessMetrics {
  registry: Registry;
  wrote(write: GroupedWrite): void;
  /** LISTEN has a connection, the first or another one. */
  listening(): void;
}

export interface ProcessSource {
  process: 'api' | 'worker';
  version: string;
  /** Where the queue is stored. */
  queue: string;
  connections: { totalCount: number; idleCount: number; waitingCount: number; options: { max?: number | undefined } };
  /** The longest stop of the event loop of late. */
  loopLagMs(): number;
  /** Of all tenants. */
  deadLetters(): Promise<number>;
  /** What fails in this process now. */
  faults(): ReadonlyArray<{ kind: string; source: string; class: string; firstAt: number }>;
}

export const SHORT_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
const SIZES = [1, 2, 5, 10, 20, 50, 100, 200];
/** Gauges in the name of counters; `nodejs_active_…` without the end has the same values. */
const MISNAMED = ['nodejs_active_handles_total', 'nodejs_active_requests_total', 'nodejs_active_resources_total'];

let ofNode: Metric[] | undefined;

/** Collected once for the process, however many of us are composed in it: what collects them watches the event loop for ever. */
function nodeMetrics(): Metric[] {
  if (ofNode === undefined) {
    const registry = new Registry();
    collectDefaultMetrics({ register: registry });
    const names = registry.getMetricsAsArray().map(({ name }) => name);
    ofNode = names.filter((name) => !MISNAMED.includes(name)).flatMap((name) => registry.getSingleMetric(name) ?? []);
  }
  return ofNode;
}

export function createProcessMetrics(source: ProcessSource): ProcessMetrics & { instruments: Instruments } {
  const instruments = createInstruments();
  const { registry, counter, histogram, gauge, gauges } = instruments;
  for (const metric of nodeMetrics()) registry.registerMetric(metric);

  const { connections, version } = source;
  gauges(
    'orchestrator_build_info',
    'Always 1; its labels say what runs here',
    ['process', 'version', 'node', 'queue'],
    () => [[{ process: source.process, version, node: process.version, queue: source.queue }, 1]],
  );
  gauge(
    'orchestrator_event_loop_lag_seconds',
    'The longest time that the event loop stood still within about a minute',
    () => source.loopLagMs() / 1000,
  );
  gauges(
    'orchestrator_database_connections',
    'Connections of the pool to PostgreSQL, by what they do',
    ['state'],
    () => [
      [{ state: 'used' }, connections.totalCount - connections.idleCount],
      [{ state: 'idle' }, connections.idleCount],
    ],
  );
  gauge(
    'orchestrator_database_connections_limit',
    'The most connections that the pool may have',
    () => connections.options.max,
  );
  gauge(
    'orchestrator_database_connection_waiters',
    'Who waits for a connection of the pool',
    () => connections.waitingCount,
  );
  gauge(
    'orchestrator_dead_letter_queue_size',
    'Tasks that failed for good and were neither retried nor discarded',
    cached(source.deadLetters),
  );
  gauges(
    'orchestrator_fault_seconds',
    'For how long something fails in this process, again and again: a statement, background work, the deliveries of a lane. Not told while nothing does',
    ['kind', 'source', 'class'],
    () =>
      source
        .faults()
        .map(({ kind, source: of, class: errorClass, firstAt }) => [
          { kind, source: of, class: errorClass },
          Math.max(0, (Date.now() - firstAt) / 1000),
        ]),
  );
  const size = histogram('orchestrator_group_commit_size', 'How much was stored together in one statement', SIZES, [
    'what',
  ]);
  const duration = histogram(
    'orchestrator_group_commit_seconds',
    'How long that statement took; with the result error it may be sent again',
    SHORT_SECONDS,
    ['what', 'result'],
  );
  const reconnects = counter(
    'orchestrator_listen_reconnects_total',
    'How often the connection that listens to the database had to be made anew',
  );
  let connected = false;
  return {
    registry,
    instruments,
    wrote({ what, items, seconds, stored }) {
      size.observe({ what }, items);
      duration.observe({ what, result: stored ? 'stored' : 'error' }, seconds);
    },
    listening() {
      if (connected) reconnects.inc();
      connected = true;
    },
  };
}
