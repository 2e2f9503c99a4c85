/**
 * Metrics that either door tells whole: what all processes have counted together, under the names that the older flow runner's
 * dashboards and alerts use. Each process counts in memory, adds what is new to the totals in the database every few seconds,
 * and a door tells the totals with what it has not added yet. A crash loses those few seconds.
 */
import {
  AggregatorRegistry,
  Counter,
  Gauge,
  Histogram,
  type MetricObjectWithValues,
  type MetricValue,
  Registry,
} from 'prom-client';
import { inTime } from './in-time.ts';

export const SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300];
const SERVICE = { service: 'orchestrator' };
/** Workflows have any number of actions: beyond so many in one process they are counted as `other`. */
const MAX_TASKS = 500;
/** What is read is told for so long. */
const KEEP_MS = 1_000;

export interface Sample {
  name: string;
  /** JSON text, its keys in order. */
  labels: string;
  value: number;
}

export interface MetricTotals {
  add(samples: readonly Sample[]): Promise<void>;
  /** Runs that have ended since somebody last counted them; `bounds` and `labels` are those of the buckets. */
  countRuns(buckets: { bounds: number[]; labels: string[]; plain: string }): Promise<void>;
  read(): Promise<{ samples: Sample[]; activeRuns: number; activeTasks: number }>;
}

export interface SharedMetrics {
  taskDelivered(): void;
  /** `status`: of a task that is final now. */
  taskEnded(status: string): void;
  attemptEnded(actionType: string, seconds: number): void;
  taskRetried(actionId: string, actionType: string): void;
  answered(request: { method: string; endpoint: string; status: number; seconds: number }): void;
  /** Adds what is new to the totals. What cannot be added is added the next time. */
  flush(): Promise<void>;
  contentType: string;
  metrics(): Promise<string>;
  getMetricsAsJSON(): Promise<MetricObjectWithValues<MetricValue<string>>[]>;
}

export function createSharedMetrics(deps: { totals: MetricTotals; now(): number }): SharedMetrics {
  const registry = new Registry();
  registry.setDefaultLabels(SERVICE);
  const registers = [registry];
  const counter = <L extends string>(name: string, help: string, labelNames: L[] = []) =>
    new Counter({ name, help, labelNames, registers });
  const histogram = <L extends string>(name: string, help: string, labelNames: L[] = []) =>
    new Histogram({ name, help, labelNames, registers, buckets: SECONDS });

  counter('orchestrator_flow_runs_processed_total', 'Executions that have ended');
  histogram('orchestrator_run_execution_seconds', 'From the first task of an execution to its end');
  const scheduled = counter('orchestrator_tasks_scheduled_total', 'Tasks that were handed to a worker, each time');
  const completed = counter('orchestrator_tasks_completed_total', 'Tasks that have ended, by how', ['status']);
  const duration = histogram('orchestrator_task_execution_seconds', 'How long an attempt took', ['handler']);
  const retries = counter('orchestrator_retry_attempts_total', 'Attempts that failed and are tried again', [
    'task_id',
    'handler',
  ]);
  const requests = counter('http_requests_total', 'Requests to the API', ['method', 'endpoint', 'status']);
  const answers = histogram('http_request_duration_seconds', 'How long an answer took', [
    'method',
    'endpoint',
    'status',
  ]);
  const activeRuns = new Gauge({ name: 'orchestrator_active_runs', help: 'Executions under way', registers });
  const activeTasks = new Gauge({
    name: 'orchestrator_active_tasks',
    help: 'Tasks in the hands of workers',
    registers,
  });

  const tasksSeen = new Set<string>();
  /** By series, what was added already. */
  const added = new Map<string, number>();
  /** By series, the most that was told: a counter never falls, also while what is being added is in neither place. */
  const most = new Map<string, number>();
  const buckets = {
    bounds: [...SECONDS, Number.POSITIVE_INFINITY],
    labels: [...SECONDS, '+Inf'].map((le) => labelsText({ ...SERVICE, le })),
    plain: labelsText(SERVICE),
  };

  /** What this process has counted and not added. */
  async function fresh(): Promise<Sample[]> {
    const all = (await registry.getMetricsAsJSON()).filter(({ type }) => type.toString() !== 'gauge');
    return all.flatMap((metric) =>
      metric.values.flatMap((one) => {
        const sample = sampleOf(metric.name, one);
        const value = sample.value - (added.get(keyOf(sample)) ?? 0);
        return value > 0 ? [{ ...sample, value }] : [];
      }),
    );
  }

  function note(samples: readonly Sample[], sign: 1 | -1): void {
    for (const sample of samples) {
      const key = keyOf(sample);
      added.set(key, (added.get(key) ?? 0) + sign * sample.value);
    }
  }

  function risen(key: string, value: number): number {
    const told = Math.max(value, most.get(key) ?? 0);
    most.set(key, told);
    return told;
  }

  let totals = new Map<string, Sample>();
  let reading: Promise<void> | undefined;
  let readAt = Number.NEGATIVE_INFINITY;

  /** While the database is away, or takes its time, the last totals are told. */
  async function read(): Promise<void> {
    if (deps.now() - readAt < KEEP_MS) return;
    reading ??= deps.totals
      .read()
      .then(
        (found) => {
          totals = new Map(found.samples.map((sample) => [keyOf(sample), sample]));
          activeRuns.set(found.activeRuns);
          activeTasks.set(found.activeTasks);
          readAt = deps.now();
        },
        () => undefined,
      )
      .finally(() => {
        reading = undefined;
      });
    await inTime(reading);
  }

  async function told(): Promise<MetricObjectWithValues<MetricValue<string>>[]> {
    await read();
    const metrics = await registry.getMetricsAsJSON();
    return metrics.map((metric) => {
      if (metric.type.toString() === 'gauge') return metric;
      const have = new Set<string>();
      const own = metric.values.map((one) => {
        const key = keyOf(sampleOf(metric.name, one));
        have.add(key);
        return { ...one, value: risen(key, one.value - (added.get(key) ?? 0) + (totals.get(key)?.value ?? 0)) };
      });
      return { ...metric, values: [...own, ...foreign(metric, have, totals)] };
    });
  }

  return {
    taskDelivered: () => scheduled.inc(),
    taskEnded: (status) => completed.inc({ status: status === 'completed' ? 'task_done' : `task_${status}` }),
    attemptEnded: (handler, seconds) => duration.observe({ handler }, seconds),
    taskRetried(actionId, handler) {
      const key = `${handler} ${actionId}`;
      const known = tasksSeen.has(key) || tasksSeen.size < MAX_TASKS;
      if (known) tasksSeen.add(key);
      retries.inc({ task_id: known ? actionId : 'other', handler });
    },
    answered({ method, endpoint, status, seconds }) {
      const labels = { method, endpoint, status: String(status) };
      requests.inc(labels);
      answers.observe(labels, seconds);
    },
    async flush() {
      const samples = await fresh();
      note(samples, 1);
      try {
        if (samples.length > 0) await deps.totals.add(samples);
      } catch (error) {
        note(samples, -1);
        throw error;
      }
      await deps.totals.countRuns(buckets);
      readAt = Number.NEGATIVE_INFINITY;
    },
    contentType: registry.contentType,
    async metrics() {
      return AggregatorRegistry.aggregate([await told()]).metrics();
    },
    getMetricsAsJSON: told,
  };
}

/** Series of others that this process has none of: a counter's value, or all the parts of a histogram. */
function foreign(
  { name, type }: MetricObjectWithValues<MetricValue<string>>,
  have: ReadonlySet<string>,
  totals: ReadonlyMap<string, Sample>,
): MetricValue<string>[] {
  const histogram = type.toString() === 'histogram';
  const known = [...totals.values()].filter((sample) => sample.name === (histogram ? `${name}_count` : name));
  return known
    .filter((sample) => !have.has(keyOf(sample)))
    .flatMap(({ labels: text, value }) => {
      const labels = JSON.parse(text) as Record<string, string>; // As `labelsText` wrote it.
      if (!histogram) return [{ labels, value }];
      const part = (metricName: string, own: Record<string, string>) => {
        const key = keyOf({ name: metricName, labels: labelsText(own), value: 0 });
        return { metricName, labels: own, value: totals.get(key)?.value ?? 0 };
      };
      return [
        ...[...SECONDS, '+Inf'].map((le) => part(`${name}_bucket`, { ...labels, le: String(le) })),
        part(`${name}_sum`, labels),
        part(`${name}_count`, labels),
      ];
    });
}

function sampleOf(name: string, { labels, value, ...more }: MetricValue<string>): Sample {
  const { metricName = name } = more as { metricName?: string };
  return { name: metricName, labels: labelsText(labels), value };
}

function keyOf({ name, labels }: Sample): string {
  return `${name}${labels}`;
}

function labelsText(labels: Partial<Record<string, string | number>>): string {
  const entries = Object.entries(labels).map(([name, value]) => [name, String(value)] as const);
  return JSON.stringify(Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1))));
}
