/** One worker process, put together. */
import { randomUUID } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import { hostname } from 'node:os';
import { v7 as uuidv7 } from 'uuid';
import { createCatalogue } from '../../workers/catalogue.ts';
import { createExecutor } from '../../workers/executor.ts';
import { createInboxAccess } from '../../workers/inbox-access.ts';
import { createIsolatedPool } from '../../workers/isolated-pool.ts';
import { createPlatformAccess } from '../../workers/platform-access.ts';
import { createApisOfTasks, operationsOf } from '../../workers/service-apis.ts';
import { adaptersFor } from '../../workers/shipped-adapters.ts';
import { bareEnvironment, type Config } from '../config.ts';
import { FINALIZER_QUEUE, GATE_QUEUE } from '../domain/compile.ts';
import { codeOf } from '../domain/fault-problems.ts';
import { maskOf } from '../domain/mask-secrets.ts';
import { groupFaults } from '../domain/system-faults.ts';
import { createCancelRuns } from '../engine/cancel-run.ts';
import { tellingParents } from '../engine/child-ended.ts';
import { type ExecuteDeps, executeTask, settleLostJob } from '../engine/execute-task.ts';
import { externalAttempts } from '../engine/external-tasks.ts';
import { createJobsInHand, PULSES_PER_LOCK } from '../engine/jobs-in-hand.ts';
import { createLaneKeeper } from '../engine/lanes.ts';
import { whileAnswered } from '../engine/let-go.ts';
import { createPlans } from '../engine/plans.ts';
import type { Logger } from '../engine/ports.ts';
import { restAsLong } from '../engine/rest.ts';
import { createServiceTurns } from '../engine/service-turns.ts';
import { createFallAsleep } from '../engine/sleeping-runs.ts';
import { repeatUntil, type SweepDeps, type SweepReport, sweepUntil } from '../engine/sweep.ts';
import { createTaskLogs } from '../engine/task-logs.ts';
import { createTaskReports } from '../engine/task-reports.ts';
import { createExpressions } from '../expressions/expressions.ts';
import { createWorkerHealth } from '../http/worker-health.ts';
import { createFlowQueue } from '../queue/flow-queue.ts';
import { type Lane, openLane } from '../queue/lane.ts';
import { openBackend } from '../queue/open-backend.ts';
import { createApprovalStore } from '../store/approvals.ts';
import { createChildStore } from '../store/child-runs.ts';
import { openDatabase } from '../store/database.ts';
import { createDatabaseClock, watchClock } from '../store/database-clock.ts';
import { countDeadLetters } from '../store/dead-letters.ts';
import { createDefinitions } from '../store/definitions.ts';
import { createDocumentStore } from '../store/documents.ts';
import { durabilityOf } from '../store/durability.ts';
import { createBeatStore } from '../store/engine-health.ts';
import { createExternalAttempts } from '../store/external-attempts.ts';
import { createLanePauseStore } from '../store/lane-pauses.ts';
import { listen } from '../store/listener.ts';
import { createOutputCache } from '../store/output-cache.ts';
import { createPartStore } from '../store/parts.ts';
import { createRunControl } from '../store/run-control.ts';
import { createReportReader } from '../store/run-report.ts';
import { createRunStore } from '../store/run-store.ts';
import { createSagaStore } from '../store/sagas.ts';
import { SECRET_CHANNEL } from '../store/secrets.ts';
import { createServiceTurnStore } from '../store/service-turns.ts';
import { SERVICE_CHANNEL } from '../store/services.ts';
import { createSweepStore } from '../store/sweep-store.ts';
import { createTaskLogStore } from '../store/task-logs.ts';
import { createTaskReportStore } from '../store/task-reports.ts';
import { createTaskStore } from '../store/task-store.ts';
import { takeBackTimesAhead } from '../store/times-ahead.ts';
import { createWorkflowStore } from '../store/workflows.ts';
import { probeWritePath } from '../store/write-path.ts';
import { monitorLoop } from '../telemetry/event-loop.ts';
import { auditingRefusals, auditOf } from './audit.ts';
import { authenticationOf } from './authentication.ts';
import { counting, doorMetrics, flushLast, flushUntil, sharedMetrics } from './door-metrics.ts';
import { egressOf, ownAddresses } from './egress.ts';
import { afterGate, createFailpoint } from './failpoints.ts';
import { fairnessOf, liveWeights } from './fairness.ts';
import { processFaults, writePathOf } from './faults.ts';
import { isPassing, payloadsOf } from './payloads.ts';
import { keepPeers } from './peers.ts';
import { announce, type Process } from './process.ts';
import { secretsOfTasks } from './secrets.ts';
import { serviceApisOf } from './service-apis.ts';
import { createSubWorkflows } from './sub-workflows.ts';
import { tracedWorker } from './traced-worker.ts';
import { beatUntil } from './worker-beat.ts';
import { workerEvents } from './worker-events.ts';
import { createHearing } from './worker-hearing.ts';
import { keepClean } from './worker-janitors.ts';
import { countingRequests, workerMetrics } from './worker-metrics.ts';
import { keepSchedules } from './worker-schedules.ts';
import { createWorkerServices } from './worker-services.ts';
import { traceCalls } from './worker-tracing.ts';
import { keepWebhooks } from './worker-webhooks.ts';

const SWEEP_EVERY_MS = 1_000;
/** After the grace, for jobs that go back to the queue. */
const GIVE_UP_QUEUE_MS = 1_000;
/** A task that waits for the turn of its condition holds a slot of its lane, which tasks of other tenants need. */
const SLOT_HELD_MS = 200;
const WATCH_COMMITS_EVERY_MS = 2_000;
const LOOK_AT_CLOCK_EVERY_MS = 5_000;
/** Of a whole window full of jobs a few tell where to look. */
const JOBS_NAMED = 20;
/** A held lane that the queue has forgotten is let go for so long. */
const KEEP_LANES_EVERY_MS = 1_000;

/** A worker: its lanes, the finalizer, the sweep and the deliveries. */
export function workerProcess(config: Config, databaseUrl: string, given: Logger): Process {
  const faults = processFaults();
  const log = faults.reporting(given);
  const onError = (error: Error) => log.warn('database_error', { error: error.message });
  const database = openDatabase(databaseUrl, {
    name: 'orchestrator-worker',
    max: config.databasePoolSize,
    plansOnce: true,
    onError,
    statements: faults.statements,
    payloads: payloadsOf(config),
  });
  const { pool, prisma } = database;
  const writePath = writePathOf(faults.ledger, database, () => probeWritePath(pool), log);
  const underTest = config.nodeEnv === 'test';
  const catalogue = createCatalogue(adaptersFor({ underTest }));
  const laneNames = lanesOf(config, catalogue.names());
  const lanes = [...laneNames, FINALIZER_QUEUE];
  const { redisUrl, queuePrefix: prefix } = config;
  const backend = openBackend({
    redisUrl,
    databaseUrl,
    prefix,
    // One more takes the ticks of schedules.
    patience: 'wait',
    name: 'orchestrator-worker',
    log,
  });
  const failpoint = createFailpoint(config.failpoints);
  const clock: ReturnType<typeof createDatabaseClock> = createDatabaseClock(pool, log);
  const traced = tracedWorker(config, { pool, now: clock.now, log });
  const queue = traced.queue(createFlowQueue({ backend, afterGate: afterGate(config.failpoints, failpoint) }));
  const worker = `${hostname()}:${process.pid}`;

  const sweep = createSweepStore(pool);
  const shared = sharedMetrics(pool);
  const tasks = counting(
    traced.tasks(
      createTaskStore(
        pool,
        failpoint,
        (write) => metrics.wrote(write),
        traced.commits,
        (runIds) => void fallAsleep(runIds),
      ),
    ),
    shared,
    (what) => metrics.worker.delivery(what),
    faults.redelivered,
  );
  const live = liveWeights(config, pool, log);
  const children = createChildStore(pool, live.weights);
  const runs = tellingParents(traced.runs(createRunStore(pool, { told: (write) => metrics.wrote(write) })), {
    children,
    tasks,
    queue,
    failpoint,
    log,
  });
  const services = createWorkerServices({ pool, configured: config.services, worker, log });
  const plans = createPlans(createDefinitions(pool));
  const workflows = createWorkflowStore(prisma, uuidv7);
  const control = createRunControl(pool);
  const beats = createBeatStore(pool);
  const expressions = createExpressions({
    maxResultBytes: config.maxOutputBytes,
    threads: config.expressionThreads,
    patienceMs: SLOT_HELD_MS,
  });
  const audit = auditOf(config, pool, log);
  const auditRefusal = auditingRefusals(audit.trail);
  const own = ownAddresses(config, databaseUrl);
  const egress = countingRequests(
    egressOf(config, {
      ...{ own, log },
      onDecision(decision) {
        metrics.outbound.decided(decision);
        auditRefusal(decision);
      },
    }),
    (result, seconds) => metrics.worker.requested(result, seconds),
  );
  const shutdown = new AbortController();
  const stopping = new AbortController();
  // Every running task listens, and every loop.
  setMaxListeners(0, shutdown.signal, stopping.signal);
  const again = { plans, runs, sweep, queue, failpoint, tasks, children, now: clock.now };
  const childRuns = createSubWorkflows({
    ...again,
    actionTypes: catalogue,
    texts: expressions,
    workflows,
    pool,
    config,
    log,
  });
  const isolated = createIsolatedPool({
    limit: config.isolatedProcesses,
    memoryMb: config.isolatedMemoryMb,
    environment: bareEnvironment(),
    underTest,
    maxBlockMs: config.lockDurationMs,
    log,
  });
  const inbox = createInboxAccess({ approvals: createApprovalStore(pool), signal: (...of) => events.signal(...of) });
  const apis = serviceApisOf(expressions, config, pool, services.store);
  const apisOfTask = createApisOfTasks(apis);
  const platform = createPlatformAccess({ documents: createDocumentStore(pool), report: createReportReader(pool) });
  const external = externalAttempts(createExternalAttempts(pool), config.maxOutputBytes);
  const events = workerEvents(
    {
      ...{ actionTypes: catalogue, workflows, plans, failpoint, pool, backend, runs, config, log, expressions },
      weights: live.weights,
      texts: expressions,
    },
    () => new Date(clock.now()),
  );
  const callSpans = traceCalls(config, {
    ...{ pool, log, ended: traced.calls, isSampled: traced.isSampled },
    told: (result, spans) => metrics.worker.callSpans(result, spans),
  });
  const executor = createExecutor({
    catalogue,
    egress,
    expressions,
    isolated,
    maxOutputBytes: config.maxOutputBytes,
    settings: config.adapterSettings,
    engine: (call) => ({
      external: external(call),
      children: childRuns(call),
      ...inbox(call),
      ...events.replay(call),
      ...apisOfTask(call),
      ...platform(call),
    }),
    operations: (tenantId) => operationsOf(apis, tenantId),
    callSpans,
    isSampled: traced.isSampled,
    now: () => new Date(clock.now()),
    isStoreFault: (error) => faults.isOwn(error) && isPassing(error),
    log,
    turn: createServiceTurns({
      limits: config.serviceRateLimits,
      turns: createServiceTurnStore(pool),
      failpoint,
      onPutOff: (service) => metrics.worker.callPutOff(service),
    }),
    service: services.find,
    calls: services.calls,
  });
  const secrets = secretsOfTasks(config, pool);
  const reports = createTaskReports({
    store: createTaskReportStore(pool),
    newId: randomUUID,
    now: () => performance.now(),
    maxBytes: config.maxOutputBytes,
    log,
  });
  const logs = createTaskLogs({ store: createTaskLogStore(pool), now: clock.now, mask: maskOf(config.hidden), log });
  const sagas = traced.sagas(createSagaStore(pool));
  const fallAsleep = createFallAsleep({ ...again, log });
  const deps: ExecuteDeps = {
    ...again,
    parts: createPartStore(pool),
    cancelRun: createCancelRuns({ ...again, log }).cancelRun,
    sagas,
    executor,
    expressions,
    control,
    shutdown: shutdown.signal,
    reports,
    logs,
    secrets,
    cache: createOutputCache(pool),
    newId: randomUUID,
    random: Math.random,
    now: clock.now,
    worker,
    maxOutputBytes: config.maxOutputBytes,
    log,
    isPassing,
    picked: (lane, waitedMs) => metrics.worker.picked(lane, waitedMs / 1000),
    spans: traced.deliveries,
  };

  const inHand = createJobsInHand({ lockDurationMs: config.lockDurationMs, now: () => performance.now(), log });
  backend.onOtherServer(inHand.queueChanged);
  const pulse = setInterval(inHand.pulse, config.lockDurationMs / PULSES_PER_LOCK).unref();
  const loop = monitorLoop((lagMs) => {
    const jobs = inHand.ids();
    log.warn('event_loop_lag', {
      worker,
      lag_ms: Math.round(lagMs),
      in_hand: jobs.length,
      jobs: jobs.slice(0, JOBS_NAMED),
    });
  });
  let open: Lane[] = [];
  let breakDown: (reason: string) => void = () => undefined;
  const broken = new Promise<string>((resolve) => {
    breakDown = resolve;
  });
  const hearing = createHearing({
    worker,
    lanes: () => open,
    backend,
    deafMs: config.deafSeconds * 1_000,
    onBroken: breakDown,
    log,
  });
  const problemsNow = () => [...new Set(groupFaults(faults.ledger.problems()).map(codeOf))];
  const metrics = workerMetrics({
    queue: backend.kind,
    pool,
    pendingCommits: () => tasks.pendingCommits(),
    activeTasks: () => open.reduce((sum, lane) => sum + lane.active(), 0),
    loopLagMs: loop.recentMs,
    isDeaf: hearing.isDeaf,
    circuits: services.calls.circuits,
    deadLetters: () => countDeadLetters(pool),
    faults: faults.ledger.problems,
  });
  audit.count(metrics.registry);
  const openAll = () =>
    lanes.map((name) =>
      openLane({
        backend,
        queue: name,
        concurrency: config.workerConcurrency,
        lockDurationMs: config.lockDurationMs,
        stalledIntervalMs: config.stalledIntervalMs,
        rateLimit: config.laneRateLimits.get(name),
        now: clock.now,
        async handle(delivery) {
          if (name !== FINALIZER_QUEUE) shared.taskDelivered();
          return traced.deliveries?.around(delivery, () => executeTask(deps, delivery)) ?? executeTask(deps, delivery);
        },
        isPassing,
        onEnded: (error) => faults.delivered(name, error),
        whenUsable: () => writePath.whenUsable(stopping.signal),
        tellsReasons: !config.encryptPayloads,
        onLost: (delivery, reason) => settleLostJob(deps, delivery, reason),
        inHand,
        log,
      }),
    );
  const hearingAgain = () => {
    metrics.listening();
    control.readAgain();
  };
  const listener = listen(
    databaseUrl,
    {
      run_control: control.notice,
      task_control: control.taskNotice,
      [SERVICE_CHANNEL]: services.forget,
      [SECRET_CHANNEL]: secrets.forget,
    },
    { name: 'orchestrator-worker-listen', onGap: hearingAgain, onError },
  );
  const recordPass = async (report: SweepReport, durationMs: number) => {
    const lagMs = await beats.recordPass({ worker, durationMs, ...report });
    metrics.worker.swept(report, durationMs, lagMs);
  };
  const keepLanes = createLaneKeeper({ pauses: createLanePauseStore(pool), queue, lanes: laneNames });
  const loops: Promise<void>[] = [];
  const schedules = keepSchedules(
    {
      ...{ actionTypes: catalogue, workflows, plans, failpoint, pool, backend, runs, children, config, log },
      weights: live.weights,
      texts: expressions,
    },
    stopping.signal,
  );
  const authentication = authenticationOf(config, log);
  const health = createWorkerHealth({
    registry: config.metricsEnabled ? doorMetrics(metrics.registry, shared) : undefined,
    whoAsks: authentication.whoAsks,
    state: () => ({
      worker,
      lanes,
      draining: stopping.signal.aborted,
      deaf: hearing.isDeaf(),
      problems: problemsNow(),
    }),
  });

  return {
    broken: Promise.race([broken, database.unsupported]),
    async start() {
      await traced.start(metrics.registry);
      // Writes their settings, whether an API has begun before or not.
      queue.queues([...catalogue.names(), FINALIZER_QUEUE, GATE_QUEUE]);
      // Nothing is begun by a wrong clock, as far as the database can be asked.
      await clock.look().catch((error: Error) => log.warn('clock_unknown', { error: error.message }));
      // Before anything is taken: what is held is held from the start. Without a store the workers wait anyway.
      await keepLanes().catch((error: Error) => log.warn('lanes_unknown', { error: error.message }));
      // What cannot be committed is not begun.
      await writePath.fault();
      open = openAll();
      await Promise.all([...open.map((lane) => lane.ready()), schedules.ready()]);
      const sweepDeps: SweepDeps = {
        ...again,
        tasks,
        sagas,
        sweep: whileAnswered(sweep, queue.ping),
        rest: restAsLong,
        window: config.admissionWindow,
        fairness: fairnessOf(live),
        checkEveryMs: config.reconcileSeconds * 1000,
        suspects: new Map(),
        queueUse: backend.memoryUse,
        log,
      };
      const { signal } = stopping;
      const random = Math.random;
      await live.ready();
      loops.push(sweepUntil(sweepDeps, { everyMs: SWEEP_EVERY_MS, signal, random, onPass: recordPass }));
      const activeTasks = () => open.reduce((sum, lane) => sum + lane.active(), 0);
      loops.push(writePath.watchUntil(signal));
      loops.push(
        repeatUntil(
          signal,
          WATCH_COMMITS_EVERY_MS,
          'watch_commits',
          async () => faults.commitWaits(tasks.commitWaitsMs()),
          log,
        ),
      );
      loops.push(hearing.watchUntil(signal), audit.keepUntil(signal));
      loops.push(flushUntil(signal, shared, log));
      loops.push(repeatUntil(signal, KEEP_LANES_EVERY_MS, 'pause_lanes', keepLanes, log));
      loops.push(live.watchUntil(signal));
      loops.push(schedules.watchUntil(signal), events.watchUntil(signal));
      loops.push(
        beatUntil(
          signal,
          beats,
          {
            id: worker,
            lanes,
            activeTasks,
            takeLongestLagMs: loop.takeLongestMs,
            isDeaf: hearing.isDeaf,
            async faults() {
              await writePath.lookAgain();
              return faults.ledger.problems();
            },
          },
          log,
        ),
      );
      loops.push(
        repeatUntil(
          signal,
          LOOK_AT_CLOCK_EVERY_MS,
          'read_clock',
          watchClock(clock, () => takeBackTimesAhead(pool)),
          log,
        ),
      );
      loops.push(
        ...keepClean(
          {
            pool,
            queue,
            runs,
            plans,
            lanes: catalogue.names(),
            cancelRun: deps.cancelRun,
            failpoint,
            removed: metrics.worker.removed,
            config,
            log,
          },
          signal,
        ),
      );
      const now = () => new Date(clock.now());
      loops.push(services.keep(egress.fetch, signal));
      loops.push(
        keepWebhooks(
          {
            pool,
            secretKeys: config.secretKeys,
            callbackSecrets: config.webhookSecrets,
            fetch: egress.fetch,
            now,
            failpoint,
            calls: callSpans,
            log,
          },
          signal,
        ),
      );
      loops.push(keepPeers(config, { pool, fetch: egress.fetch, now, log }, signal));
      const port = await health.listen(config.workerPort, config.host).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== 'EADDRINUSE') throw error;
        // A second worker on one machine just shares the load.
        log.warn('worker_port_taken', { port: config.workerPort });
        return health.listen(0, config.host);
      });
      own.push({ host: config.host, port });
      void announce('queue_setup', backend.warnings(), log);
      void announce('database_setup', durabilityOf(pool), log);
      log.info('worker_started', { worker, lanes, port, queue: backend.kind });
      return { port };
    },
    async stop() {
      stopping.abort();
      log.info('worker_draining', { worker, active: open.reduce((sum, lane) => sum + lane.active(), 0) });
      await Promise.all(open.map((lane) => lane.drain()));
      const idle = Promise.all(open.map((lane) => lane.close()));
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
      await schedules.close();
      await events.close();
      reports.stop();
      await logs.stop();
      await tasks.drain();
      await audit.close();
      await callSpans?.stop();
      await traced.stop();
      await flushLast(shared, log);
      clearInterval(pulse);
      loop.stop();
      await services.close();
      await beats.leave(worker).catch(() => undefined);
      control.close();
      await listener.close();
      await health.close();
      await queue.close();
      clearTimeout(vain);
      await backend.close();
      await isolated.close();
      await Promise.all([egress.close(), expressions.close(), authentication.close()]);
      await database.close();
      log.info('worker_stopped', { worker });
    },
  };
}

function lanesOf({ workerLanes }: Config, known: readonly string[]): readonly string[] {
  if (workerLanes === 'all') return known;
  const unknown = workerLanes.filter((lane) => !known.includes(lane));
  if (unknown.length > 0) throw new Error(`WORKER_LANES names ${unknown.join(', ')}; there are ${known.join(', ')}`);
  return workerLanes;
}
