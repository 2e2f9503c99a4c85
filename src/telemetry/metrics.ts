/** Metrics of one process. Those that all processes count together are in shared-metrics.ts. Label sets are bounded. */
import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import { inTime } from './in-time.ts';

export interface WorkerMetrics {
  /** A call that has to wait for its turn at a service. */
  callPutOff(service: string): void;
  /** Calls to the outside, as spans of traces. */
  callSpans(result: 'stored' | 'dropped', spans: number): void;
  /** By retention. */
  removed(runs: number): void;
  swept(
    report: { dispatched: number; checked: number; repaired: number; heldBack: boolean },
    durationMs: number,
    lagMs: number,
  ): void;
}

export interface Metrics {
  registry: Registry;
  worker: WorkerMetrics;
}

export interface MetricsSource {
  pendingCommits?(): number;
  acceptsInHand?(): number;
  /** Takes nothing although jobs wait. */
  isDeaf?(): boolean;
  circuits?(): Array<{ name: string; state: 'closed' | 'half_open' | 'open' }>;
  /** The longest stop of the event loop of late. */
  loopLagMs(): number;
  /** Of all tenants. */
  deadLetters?(): Promise<number>;
}

/** What costs a query is asked for no more often than that. */
const KEEP_MS = 5_000;

/** Each has the number of its place. */
const CIRCUIT_STATES = ['closed', 'half_open', 'open'];

export function createMetrics(source: MetricsSource): Metrics {
  const registry = new Registry();
  registry.setDefaultLabels({ service: 'orchestrator' });
  collectDefaultMetrics({ register: registry });
  const sweeps = new Counter({
    name: 'orchestrator_sweep_runs_total',
    help: 'Runs that the dispatcher added, and that the reconciler looked at and repaired',
    labelNames: ['what'],
    registers: [registry],
  });
  const removals = new Counter({
    name: 'orchestrator_removed_runs_total',
    help: 'Runs that this process removed because of RETENTION_DAYS',
    registers: [registry],
  });
  const putOff = new Counter({
    name: 'orchestrator_service_calls_put_off_total',
    help: 'How often a call had to wait because of SERVICE_RATE_LIMITS',
    // Not `service`: that is this program.
    labelNames: ['target'],
    registers: [registry],
  });
  const calls = new Counter({
    name: 'orchestrator_call_spans_total',
    help: 'Calls to the outside that were written down for traces, or dropped because there was no room or no database',
    labelNames: ['result'],
    registers: [registry],
  });
  const gauge = (name: string, help: string) => new Gauge({ name, help, registers: [registry] });
  const lastPass = gauge(
    'orchestrator_sweep_last_pass_timestamp_seconds',
    'When a pass of the dispatcher and reconciler last ended in this process; 0 where another process does it',
  );
  const passSeconds = gauge('orchestrator_sweep_pass_seconds', 'How long that pass took');
  const held = gauge(
    'orchestrator_sweep_held_back',
    '1 while the store of the queue is nearly full, so that nothing is added to it',
  );
  const lag = gauge(
    'orchestrator_sweep_lag_seconds',
    'How long the most overdue execution waits to be looked at, after that pass',
  );
  new Gauge({
    name: 'orchestrator_event_loop_lag_seconds',
    help: 'The longest time that the event loop stood still within about a minute',
    registers: [registry],
    collect() {
      this.set(source.loopLagMs() / 1000);
    },
  });
  new Gauge({
    name: 'orchestrator_pending_commits',
    help: 'Outcomes that wait for the database',
    registers: [registry],
    collect() {
      this.set(source.pendingCommits?.() ?? 0);
    },
  });
  const { circuits } = source;
  if (circuits !== undefined) {
    new Gauge({
      name: 'orchestrator_circuit_state',
      help: 'The circuits of a service in this process, the worst of its instances: 0 closed, 1 half-open, 2 open',
      labelNames: ['service'],
      registers: [registry],
      collect() {
        this.reset();
        const worst = new Map<string, number>();
        for (const { name, state } of circuits())
          worst.set(name, Math.max(worst.get(name) ?? 0, CIRCUIT_STATES.indexOf(state)));
        for (const [service, state] of worst) this.set({ service }, state);
      },
    });
  }
  const { acceptsInHand, isDeaf } = source;
  if (isDeaf !== undefined) {
    new Gauge({
      name: 'orchestrator_worker_deaf',
      help: '1 while this worker takes nothing although jobs wait and it has room, or its connection does not answer',
      registers: [registry],
      collect() {
        this.set(isDeaf() ? 1 : 0);
      },
    });
  }
  if (acceptsInHand !== undefined) {
    new Gauge({
      name: 'orchestrator_accepts_in_hand',
      help: 'Runs that wait to be stored',
      registers: [registry],
      collect() {
        this.set(acceptsInHand());
      },
    });
  }
  if (source.deadLetters !== undefined) {
    const count = kept(source.deadLetters);
    new Gauge({
      name: 'orchestrator_dead_letter_queue_size',
      help: 'Tasks that failed for good and were neither retried nor discarded',
      registers: [registry],
      async collect() {
        const value = await count();
        if (value !== undefined) this.set(value);
      },
    });
  }
  return {
    registry,
    worker: {
      callPutOff(service) {
        putOff.inc({ target: service });
      },
      callSpans(result, spans) {
        calls.inc({ result }, spans);
      },
      removed(runs) {
        removals.inc(runs);
      },
      swept({ dispatched, checked, repaired, heldBack }, durationMs, lagMs) {
        held.set(heldBack ? 1 : 0);
        lastPass.setToCurrentTime();
        passSeconds.set(durationMs / 1000);
        lag.set(lagMs / 1000);
        sweeps.inc({ what: 'dispatched' }, dispatched);
        sweeps.inc({ what: 'checked' }, checked);
        sweeps.inc({ what: 'repaired' }, repaired);
      },
    },
  };
}

/** Undefined while it cannot be had: the other metrics must not fail for it. */
function kept<T>(read: () => Promise<T>): () => Promise<T | undefined> {
  let value: T | undefined;
  let at = Number.NEGATIVE_INFINITY;
  return async () => {
    if (performance.now() - at < KEEP_MS) return value;
    at = performance.now();
    const reading = read().then(
      (found) => {
        value = found;
      },
      () => {
        value = undefined;
      },
    );
    await inTime(reading);
    return value;
  };
}
