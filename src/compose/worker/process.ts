/** One worker process, put together: its lanes, the finalizer, the reconcile pass, and the features. */
import { setMaxListeners } from 'node:events';
import { FINALIZER_QUEUE, GATE_QUEUE } from '../../domain/graph/compile.ts';
import { codeOf } from '../../domain/health/fault-problems.ts';
import { groupFaults } from '../../domain/health/system-faults.ts';
import { createLanePauseSync } from '../../engine/control/lanes.ts';
import type { Feature, FeatureWorker, WorkerPart, WorkerParts } from '../../feature.ts';
import { traceCalls } from '../../features/tracing/trace-calls.ts';
import { createWorkerHealth } from '../../http/server/worker-health.ts';
import { durabilityOf } from '../../store/core/durability.ts';
import { listen } from '../../store/core/listener.ts';
import { countDeadLetters } from '../../store/health/dead-letters.ts';
import { createBeatStore } from '../../store/health/engine-health.ts';
import { createLanePauseStore } from '../../store/runs/lane-pauses.ts';
import { monitorLoop } from '../../telemetry/event-loop.ts';
import { auditOf, NO_AUDIT } from '../audit.ts';
import { authenticationOf } from '../authentication.ts';
import { egressOf, ownAddresses } from '../egress.ts';
import { broughtBy, offered } from '../features.ts';
import { announce, type Process, type ProcessStart } from '../process.ts';
import { flushLast, flushUntil, servedMetrics, sharedMetrics } from '../shared-metrics.ts';
import { createWorkerEngine } from './engine.ts';
import { createExecution } from './execution.ts';
import { createWorkerLanes } from './lanes.ts';
import { workerLoops } from './loops.ts';
import { meteredEgress, workerMetrics } from './metrics.ts';
import { openWorkerResources } from './resources.ts';

/** After the grace, for jobs that go back to the queue. */
const GIVE_UP_QUEUE_MS = 1_000;
/** Of a whole window full of jobs a few tell where to look. */
const JOBS_NAMED = 20;

/** `features`, and what those that have something have in a worker. */
export function workerProcess(
  start: ProcessStart,
  features: readonly Feature[],
  workers: readonly FeatureWorker[],
): Process {
  const { config, databaseUrl } = start;
  const resources = openWorkerResources(start);
  const { faults, log, pool, database, writePath, backend, queue, clock, traced, worker } = resources;
  const brought = broughtBy(features, config);
  const shared = sharedMetrics(pool);
  const engine = createWorkerEngine(resources, brought, shared, () => metrics);
  const { catalogue, tasks, live, control } = engine;
  const laneNames = lanesOf(config, catalogue.names());
  const beats = createBeatStore(pool);
  const own = ownAddresses(config, databaseUrl);
  const egress = meteredEgress(
    egressOf(config, {
      ...{ own, log },
      onDecision(decision) {
        metrics.outbound.decided(decision);
        for (const { onDecision } of opened) onDecision?.(decision);
      },
    }),
    (result, seconds) => metrics.worker.requested(result, seconds),
  );
  const shutdown = new AbortController();
  const stopping = new AbortController();
  // Every running task listens, and every loop.
  setMaxListeners(0, shutdown.signal, stopping.signal);
  const callSpans = traceCalls(config, {
    ...{ pool, log, ended: traced.calls, isSampled: traced.isSampled },
    onSpans: (result, spans) => metrics.worker.callSpans(result, spans),
  });
  const audit = auditOf(() => offered(opened, 'audit') ?? NO_AUDIT);
  const outbox = () => offered(opened, 'outbox');
  const parts: WorkerParts = { ...resources, ...engine, ...brought, fetch: egress.fetch, audit, outbox, callSpans };
  const opened: WorkerPart[] = workers.map((one) => one.open(parts));

  const lanes = createWorkerLanes(resources, [...laneNames, FINALIZER_QUEUE], shared, stopping.signal);
  const loop = monitorLoop((lagMs) => {
    const jobs = lanes.jobIds();
    log.warn('event_loop_lag', {
      worker,
      lag_ms: Math.round(lagMs),
      in_hand: jobs.length,
      jobs: jobs.slice(0, JOBS_NAMED),
    });
  });
  const problemsNow = () => [...new Set(groupFaults(faults.ledger.problems()).map(codeOf))];
  const metrics = workerMetrics({
    queue: backend.kind,
    pool,
    pendingCommits: () => tasks.pendingCommits(),
    activeTasks: lanes.active,
    loopLagMs: loop.recentMs,
    isUnresponsive: lanes.isUnresponsive,
    deadLetters: () => countDeadLetters(pool),
    faults: faults.ledger.problems,
  });
  for (const { registerMetrics } of opened) registerMetrics?.(metrics.registry);
  const execution = createExecution(resources, engine, {
    ...{ egress, callSpans, metrics },
    features: opened,
    shutdown: shutdown.signal,
  });
  const hearingAgain = () => {
    metrics.listening();
    control.readAgain();
  };
  const listener = listen(
    databaseUrl,
    {
      ...Object.assign({}, ...opened.map(({ channels }) => channels)),
      run_control: control.notice,
      task_control: control.taskNotice,
    },
    { name: 'orchestrator-worker-listen', onGap: hearingAgain, onError: resources.onDatabaseError },
  );
  const keepLanes = createLanePauseSync({ pauses: createLanePauseStore(pool), queue, lanes: laneNames });
  let loops: Array<Promise<unknown>> = [];
  const authentication = authenticationOf(config, log, { tokens: () => offered(opened, 'tokens') });
  const health = createWorkerHealth({
    registry: config.metricsEnabled ? servedMetrics(metrics.registry, shared) : undefined,
    identify: authentication.identify,
    tls: config.tls,
    state: () => ({
      worker,
      lanes: lanes.names,
      draining: stopping.signal.aborted,
      unresponsive: lanes.isUnresponsive(),
      problems: problemsNow(),
    }),
  });

  return {
    broken: Promise.race([lanes.broken, database.unsupported]),
    async start() {
      await traced.start(metrics.registry);
      // Writes their settings, whether an API has started before or not.
      queue.queues([...catalogue.names(), FINALIZER_QUEUE, GATE_QUEUE]);
      // Nothing is started by a wrong clock, as far as the database can be asked.
      await clock.probe().catch((error: Error) => log.warn('clock_unknown', { error: error.message }));
      // Before anything is taken: what is paused is paused from the start. Without a store the workers wait anyway.
      await keepLanes().catch((error: Error) => log.warn('lanes_unknown', { error: error.message }));
      // What cannot be committed is not started.
      await writePath.fault();
      await Promise.all([lanes.open(execution.deps), ...opened.map((part) => part.ready?.())]);
      await live.ready();
      const { signal } = stopping;
      loops = [
        ...workerLoops(resources, engine, { lanes, beats, loop, metrics, keepLanes }, signal),
        flushUntil(signal, shared, log),
        ...opened.flatMap(({ work }) => work?.(signal) ?? []),
      ];
      const port = await health.listen(config.workerPort, config.host).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== 'EADDRINUSE') throw error;
        // A second worker on one machine just shares the load.
        log.warn('worker_port_taken', { port: config.workerPort });
        return health.listen(0, config.host);
      });
      own.push({ host: config.host, port });
      void announce('queue_setup', backend.warnings(), log);
      void announce('database_setup', durabilityOf(pool), log);
      log.info('worker_started', { worker, lanes: lanes.names, port, queue: backend.kind });
      return { port };
    },
    async stop() {
      stopping.abort();
      log.info('worker_draining', { worker, active: lanes.active() });
      await lanes.drain();
      const idle = lanes.close();
      // Whatever is still running when the grace is over goes back to the queue at once.
      const late = setTimeout(() => shutdown.abort(), config.shutdownGraceSeconds * 1000);
      // Whatever still has to do with the queue waits for it, however long it cannot be reached.
      const vain = setTimeout(
        async () => {
          if (!(await queue.ping())) backend.abandon();
        },
        config.shutdownGraceSeconds * 1000 + GIVE_UP_QUEUE_MS,
      );
      await idle;
      clearTimeout(late);
      await Promise.all(loops);
      for (const { close } of opened) await close?.();
      await engine.briefQueue.close();
      execution.reports.stop();
      await execution.logs.stop();
      await tasks.drain();
      await callSpans?.stop();
      await traced.stop();
      await flushLast(shared, log);
      lanes.stop();
      loop.stop();
      await beats.remove(worker).catch(() => undefined);
      control.close();
      await listener.close();
      await health.close();
      await queue.close();
      clearTimeout(vain);
      await backend.close();
      await execution.isolated.close();
      await Promise.all([egress.close(), resources.expressions.close(), authentication.close()]);
      await database.close();
      log.info('worker_stopped', { worker });
    },
  };
}

function lanesOf({ workerLanes }: ProcessStart['config'], known: readonly string[]): readonly string[] {
  if (workerLanes === 'all') return known;
  const unknown = workerLanes.filter((lane) => !known.includes(lane));
  if (unknown.length > 0) throw new Error(`WORKER_LANES names ${unknown.join(', ')}; there are ${known.join(', ')}`);
  return workerLanes;
}
