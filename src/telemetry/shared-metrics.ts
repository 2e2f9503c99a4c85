/**
 * Metrics that every API process shows in full: what all processes counted together, under the names that the older flow
 * runner's dashboards and alerts use. Each process counts in memory, adds what is new to the totals in the database every few
 * seconds, and an API shows the totals with what it has not added yet. A crash loses those few seconds.
 */
import {
  Counter,
  Gauge,
  Histogram,
  type MetricObjectWithValues,
  type MetricValue,
  type OpenMetricsContentType,
  Registry,
} from 'prom-client';
import { OTHER } from './bounded-names.ts';
import type { Exemplar, Family } from './exposition.ts';
import { inTime } from './in-time.ts';
import { SERVICE } from './instruments.ts';

export const SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300];
/** Workflows have any number of actions: beyond so many, in all processes together, they are counted as `other`. */
export const MAX_TASKS = 500;
/** So many new ones a process counts under their names before it reads again how many there are. */
export const NEW_TASKS = 50;
/** What the parser of HTTP in Node.js lets through beside them is counted together. */
const METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);
/** Only what a tracing system can know is worth a link. */
const TRACE_ID = /^[0-9a-f]{32}$/;
export const FORWARDED_UNTRUSTED = 'orchestrator_forwarded_for_untrusted_total';
const RUN_SECONDS = 'orchestrator_run_execution_seconds';
/** What is read is cached for so long. */
const CACHE_MS = 1_000;

export interface Sample {
  name: string;
  /** JSON text, its keys in order. */
  labels: string;
  value: number;
}

export interface MetricTotals {
  add(samples: readonly Sample[]): Promise<void>;
  /** The ids, as `taskKey` joins them, of the tasks whose retries are counted under their names. */
  retriedTasks(): Promise<ReadonlySet<string>>;
  /**
   * Counts runs that have ended since somebody last counted them; `bounds` and `labels` are those of the buckets. Resolves
   * to some of them, which may be pointed at.
   */
  countRuns(buckets: { bounds: number[]; labels: string[]; plain: string }): Promise<CountedRun[]>;
  read(): Promise<{ samples: Sample[]; activeRuns: number; activeTasks: number }>;
}

export interface CountedRun {
  traceId: string;
  seconds: number;
  /** Seconds since 1970. */
  endedAt: number;
}

export interface SharedMetrics {
  taskDelivered(): void;
  /** `status`: of a task that is final now. */
  taskEnded(status: string): void;
  attemptEnded(actionType: string, seconds: number, traceId?: string | null): void;
  taskRetried(actionId: string, actionType: string): void;
  answered(request: {
    method: string;
    endpoint: string;
    status: number;
    seconds: number;
    traceId?: string | undefined;
  }): void;
  forwardedByUntrusted(): void;
  /** Adds what is new to the totals. What cannot be added is added the next time. */
  flush(): Promise<void>;
  /** Exemplars are those of this process. */
  families(): Promise<Family[]>;
}

export function createSharedMetrics(deps: { totals: MetricTotals; now(): number }): SharedMetrics {
  // Without that type a registry takes no exemplars; the text is made elsewhere.
  const registry = new Registry<OpenMetricsContentType>();
  registry.setContentType(Registry.OPENMETRICS_CONTENT_TYPE);
  registry.setDefaultLabels(SERVICE);
  const registers = [registry];
  const counter = <L extends string>(name: string, help: string, labelNames: L[] = []) =>
    new Counter({ name, help, labelNames, registers });
  const histogram = <L extends string>(name: string, help: string, labelNames: L[] = []) =>
    new Histogram({ name, help, labelNames, registers, buckets: SECONDS, enableExemplars: true });

  counter('orchestrator_flow_runs_processed_total', 'Executions that have ended');
  counter(
    'orchestrator_runs_ended_total',
    'Executions that have ended, by how; cause: engine where it was the service that failed, work where it was the task',
    ['status', 'cause'],
  );
  histogram(RUN_SECONDS, 'From the first task of an execution to its end');
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
  const unbelieved = counter(
    FORWARDED_UNTRUSTED,
    'Requests with an X-Forwarded-For that was not believed, because TRUST_PROXY does not name whom they came from',
  );
  const activeRuns = new Gauge({
    name: 'orchestrator_active_runs',
    help: 'Executions under way, without those that sleep',
    registers,
  });
  const activeTasks = new Gauge({
    name: 'orchestrator_active_tasks',
    help: 'Tasks in the hands of workers',
    registers,
  });

  /** Counted under their names: of all processes, when that was last read, and of this one. */
  let namedTasks: ReadonlySet<string> = new Set();
  const ownTasks = new Set<string>();
  let newTasks = 0;
  let refreshTasks = false;
  /** Of runs, by the bound of their bucket. */
  const endedRuns = new Map<string, Exemplar>();
  /** By series, what was added already. */
  const added = new Map<string, number>();
  /** By series, the most that was shown: a counter never falls, also while what is being added is in neither of the two. */
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
    const shown = Math.max(value, most.get(key) ?? 0);
    most.set(key, shown);
    return shown;
  }

  function isNamed(task: string): boolean {
    if (ownTasks.has(task) || namedTasks.has(task)) return true;
    refreshTasks = true;
    if (newTasks >= Math.min(NEW_TASKS, MAX_TASKS - namedTasks.size)) return false;
    newTasks += 1;
    ownTasks.add(task);
    return true;
  }

  function pointAt({ traceId, seconds, endedAt }: CountedRun): void {
    if (!TRACE_ID.test(traceId)) return;
    const bound = String(SECONDS.find((one) => seconds <= one) ?? '+Inf');
    endedRuns.set(bound, { labelSet: { trace_id: traceId }, value: seconds, timestamp: endedAt });
  }

  /** Runs are counted by the database, so their buckets have no exemplars of their own. */
  function withRuns(metric: Family): Family {
    if (metric.name !== RUN_SECONDS) return metric;
    const values = metric.values.map((one) => {
      const exemplar = endedRuns.get(String(one.labels['le']));
      return exemplar === undefined ? one : { ...one, exemplar };
    });
    return { ...metric, values };
  }

  let totals = new Map<string, Sample>();
  let reading: Promise<void> | undefined;
  let hasTotals = false;
  let readAt = Number.NEGATIVE_INFINITY;

  /** While the database is away, or takes its time, the last totals are shown. */
  async function read(): Promise<void> {
    if (deps.now() - readAt < CACHE_MS) return;
    reading ??= deps.totals
      .read()
      .then(
        (found) => {
          totals = new Map(found.samples.map((sample) => [keyOf(sample), sample]));
          activeRuns.set(found.activeRuns);
          activeTasks.set(found.activeTasks);
          readAt = deps.now();
          hasTotals = true;
        },
        () => undefined,
      )
      .finally(() => {
        reading = undefined;
      });
    await inTime(reading);
  }

  async function collect(): Promise<MetricObjectWithValues<MetricValue<string>>[]> {
    await read();
    const metrics = await registry.getMetricsAsJSON();
    // What this process alone has counted would look like a counter that was reset, and the totals after it like a rush.
    if (!hasTotals) return metrics.map((metric) => ({ ...metric, values: [] }));
    return metrics.map((metric) => {
      if (metric.type.toString() === 'gauge') return metric;
      const have = new Set<string>();
      const own = metric.values.map((one) => {
        const key = keyOf(sampleOf(metric.name, one));
        have.add(key);
        return { ...one, value: risen(key, one.value - (added.get(key) ?? 0) + (totals.get(key)?.value ?? 0)) };
      });
      return withRuns({ ...metric, values: [...own, ...foreign(metric, have, totals)] });
    });
  }

  return {
    taskDelivered: () => scheduled.inc(),
    taskEnded: (status) => completed.inc({ status: status === 'completed' ? 'task_done' : `task_${status}` }),
    attemptEnded: (handler, value, traceId) =>
      duration.observe({ labels: { handler }, value, ...exemplarOf<'handler'>(traceId) }),
    taskRetried(actionId, handler) {
      retries.inc({ task_id: isNamed(taskKey(actionId, handler)) ? actionId : OTHER, handler });
    },
    answered({ method: sent, endpoint, status, seconds: value, traceId }) {
      const method = METHODS.has(sent) ? sent : OTHER;
      const labels = { method, endpoint, status: String(status) };
      requests.inc(labels);
      answers.observe({ labels, value, ...exemplarOf<keyof typeof labels>(traceId) });
    },
    forwardedByUntrusted: () => unbelieved.inc(),
    async flush() {
      const samples = await fresh();
      note(samples, 1);
      try {
        if (samples.length > 0) await deps.totals.add(samples);
      } catch (error) {
        note(samples, -1);
        throw error;
      }
      for (const run of await deps.totals.countRuns(buckets)) pointAt(run);
      if (refreshTasks) {
        namedTasks = await deps.totals.retriedTasks();
        newTasks = 0;
        refreshTasks = false;
      }
      readAt = Number.NEGATIVE_INFINITY;
    },
    families: collect,
  };
}

export function taskKey(actionId: string, handler: string): string {
  return `${handler} ${actionId}`;
}

/** The labels of an exemplar are its own, whatever prom-client's type says. */
function exemplarOf<L extends string>(traceId: string | null | undefined): { exemplarLabels?: Record<L, string> } {
  if (traceId === null || traceId === undefined || !TRACE_ID.test(traceId)) return {};
  return { exemplarLabels: { trace_id: traceId } as unknown as Record<L, string> };
}

/** Series of others that this process has none of: a counter's value, or all series of a histogram. */
function foreign(
  { name, type }: MetricObjectWithValues<MetricValue<string>>,
  have: ReadonlySet<string>,
  totals: ReadonlyMap<string, Sample>,
): MetricValue<string>[] {
  const histogram = type.toString() === 'histogram';
  const samples = [...totals.values()].filter((sample) => sample.name === (histogram ? `${name}_count` : name));
  return samples
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
