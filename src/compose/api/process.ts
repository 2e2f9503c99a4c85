/** One API process, put together: what it opens, its engine, the trunk's endpoints, and the features. It holds no state. */
import { v7 as uuidv7 } from 'uuid';
import { createBoard } from '../../dashboard/board.ts';
import { forwardingProblems } from '../../doctor/forwarding.ts';
import { shareOf } from '../../domain/fairness/queue-room.ts';
import { FINALIZER_QUEUE, GATE_QUEUE } from '../../domain/graph/compile.ts';
import { createRunFollower } from '../../engine/follow/follow-run.ts';
import { createEngineHealth } from '../../engine/health/engine-health.ts';
import type { ApiParts, Feature, FeatureApi } from '../../feature.ts';
import { tracedAnswers } from '../../features/tracing/traced-work.ts';
import { attachTaskSockets } from '../../http/routes/task-sockets.ts';
import { TRUNK_ROUTES } from '../../http/routes/trunk.ts';
import { BOARD_PATH, createHttpApp } from '../../http/server/app.ts';
import { createInProcess } from '../../http/server/in-process.ts';
import { createLinks } from '../../http/server/links.ts';
import { bind } from '../../http/server/operation.ts';
import { createHttpServer } from '../../http/server/server.ts';
import { createLaneDepths } from '../../queue/depths.ts';
import { durabilityOf } from '../../store/core/durability.ts';
import { listen } from '../../store/core/listener.ts';
import { storeFault } from '../../store/core/sqlstate.ts';
import { needsRepair } from '../../store/core/transient.ts';
import { isUnavailable } from '../../store/core/unavailable.ts';
import { countDeadLetters } from '../../store/health/dead-letters.ts';
import { createEngineHealthStore } from '../../store/health/engine-health.ts';
import { createTaskReportStore } from '../../store/tasks/task-reports.ts';
import { createStatisticsOfWorkflow } from '../../store/views/execution-statistics.ts';
import { createLateEffectReader } from '../../store/views/late-effects.ts';
import { createRunEvents } from '../../store/views/run-events.ts';
import { createTaskStates } from '../../store/views/task-states.ts';
import { monitorLoop } from '../../telemetry/event-loop.ts';
import { VERSION } from '../../version.ts';
import { auditOf, NO_AUDIT } from '../audit.ts';
import { announceAuthentication, authenticationOf } from '../authentication.ts';
import { addressCheckOf, egressOf, ownAddresses } from '../egress.ts';
import { broughtBy, offered, whyWaiting } from '../features.ts';
import { announce, type Process, type ProcessStart } from '../process.ts';
import { flushLast, flushUntil, servedMetrics, sharedMetrics } from '../shared-metrics.ts';
import { controlOf } from './control.ts';
import { createApiEngine } from './engine.ts';
import { healthOf } from './health.ts';
import { apiLimits } from './limits.ts';
import { closeServer, listenOn } from './listen.ts';
import { apiMetrics, meteredAnswers } from './metrics.ts';
import { openApiResources } from './resources.ts';

const elapsed = () => performance.now();
const clock = { now: () => new Date() };

/** `features`, and what those that have something have in an API process. */
export function apiProcess(start: ProcessStart, features: readonly Feature[], apis: readonly FeatureApi[]): Process {
  const { config, databaseUrl } = start;
  const resources = openApiResources(start);
  const { log, everyTenant, pool, backend, queue, writePath, isolation, spans } = resources;
  const brought = broughtBy(features, config);
  const engine = createApiEngine(resources, brought, () => metrics, {
    beforeSave: () => opened.flatMap((part) => part.beforeSave ?? []),
    translate: (written) => opened.reduce((body, { translate }) => translate?.(body) ?? body, written),
  });
  const { queueUse, live, waiter, runs } = engine;

  const loop = monitorLoop((lagMs) => {
    log.warn('event_loop_lag', { lag_ms: Math.round(lagMs), in_hand: engine.acceptsInHand() });
  });
  const shared = sharedMetrics(everyTenant);
  const lanes = engine.catalogue.names();
  const depths = createLaneDepths(queue.queues([...lanes, FINALIZER_QUEUE]));
  const engineHealth = createEngineHealth({
    ...{ queueUse, isRejected: needsRepair, now: elapsed },
    store: createEngineHealthStore(everyTenant),
    queue: depths,
    faults: resources.faults.problems,
  });
  const metrics = apiMetrics({
    queue: backend.kind,
    connections: resources.database.connections,
    acceptsInHand: engine.acceptsInHand,
    deadLetters: () => countDeadLetters(everyTenant),
    engine: () => engineHealth.report(),
    queueUse: () => {
      const use = queueUse();
      return use && shareOf(use);
    },
    loopLagMs: loop.recentMs,
    faults: resources.faults.problems,
    databaseUsable: () => writePath.lastFault() === undefined,
  });
  const limits = apiLimits(config, { pool: everyTenant, registry: metrics.registry, shared, log });
  const credentials = offered(apis, 'credentials')?.({ config, everyTenant, log });
  const authentication = authenticationOf(config, log, { credentials, tokens: () => offered(opened, 'tokens') });
  const control = controlOf(resources, engine, depths);
  const own = ownAddresses(config, databaseUrl);
  const egress = egressOf(config, { own, log, onDecision: () => undefined });
  const events = createRunFollower(createRunEvents(everyTenant), { live: createTaskReportStore(pool) });

  const inside = createInProcess();
  const audit = () => offered(opened, 'audit') ?? NO_AUDIT;
  const parts: ApiParts = {
    ...resources,
    ...engine,
    ...{ depths, lanes, engineHealth, egress, limits, inside, clock },
    audit: auditOf(audit),
    rejectedMessages: () => offered(opened, 'rejectedMessages'),
    ...brought,
    dependencies: () => opened.flatMap(({ dependencies = [] }) => dependencies),
    whyWaiting: (run, actionIds) => whyWaiting(opened, run, actionIds),
    cancel: control.cancel,
    pause: control.pause,
    weights: live.store,
    checkAddress: addressCheckOf(config, own),
    login: credentials?.login,
    links: createLinks(config.publicUrl),
    newId: uuidv7,
  };
  const opened = apis.map((api) => api.open(parts));
  for (const { registerMetrics } of opened) registerMetrics?.(metrics.registry);
  const trunk = bind(TRUNK_ROUTES, {
    ...parts,
    ...control,
    ...{ events, writePath },
    wait: waiter,
    config: { ...config, version: VERSION },
    actionTypes: engine.catalogue,
    runs: engine.reader,
    workflows: engine.workflows,
    lateEffects: createLateEffectReader(pool),
    statisticsOf: createStatisticsOfWorkflow(pool),
    definitions: engine.rules,
    identify: authentication.identify,
    health: healthOf(everyTenant, queue, backend.kind, engineHealth),
    metrics: config.metricsEnabled ? servedMetrics(metrics.registry, shared) : undefined,
    effectiveConfig: config.effective,
  });
  const core = {
    ...{ log, writePath, limits, spans, isUnavailable, clock },
    config: { ...config, version: VERSION },
    identify: authentication.identify,
    loginFor: credentials?.loginFor,
    inTenant: isolation.scope.in,
    audit: audit(),
    needsRepair: (error: unknown) => (needsRepair(error) ? storeFault(error)?.class : undefined),
    before: opened.flatMap(({ before = [] }) => before),
    beforeChange: opened.flatMap(({ beforeChange = [] }) => beforeChange),
    board: createBoard(queue.queues([...lanes, FINALIZER_QUEUE, GATE_QUEUE]), BOARD_PATH),
    answered: tracedAnswers(meteredAnswers(shared, metrics), spans, Date.now),
  };
  const app = createHttpApp(core, [...trunk, ...opened.flatMap(({ endpoints }) => endpoints)]);
  const server = createHttpServer(app, config.tls, config.maxConnections, {
    inside,
    own: offered(opened, 'protocol'),
  });
  const sockets = attachTaskSockets(server, { ...core, events, states: createTaskStates(pool, engine.definitions) });
  const listener = listen(
    databaseUrl,
    {
      ...Object.assign({}, ...opened.map(({ channels }) => channels)),
      run_live: events.notice,
      run_final(runIds: string) {
        waiter.notice(runIds);
        events.notice(runIds);
      },
    },
    {
      name: 'orchestrator-api-listen',
      onGap() {
        metrics.listening();
        waiter.readAgain();
        events.pollNow();
        for (const { onGap } of opened) onGap?.();
      },
      onError: resources.onDatabaseError,
    },
  );

  const stopping = new AbortController();
  let working: Promise<unknown> | undefined;
  return {
    // The next process says so before it opens anything.
    broken: resources.database.unsupported,
    async start() {
      await spans?.start(metrics.registry);
      await isolation.expected(everyTenant);
      // Before the first request: nothing is accepted that could not be committed.
      const fault = await writePath.fault();
      // Loading the client takes a processor for half a second, which no request is to wait for.
      if (fault === undefined) await resources.prisma.$connect().catch(() => undefined);
      await live.ready();
      const port = await listenOn(server, config);
      own.push({ host: config.host, port });
      void announce('queue_setup', backend.warnings(), log);
      void announce('database_setup', durabilityOf(everyTenant), log);
      void announce('proxy_setup', forwardingProblems(everyTenant), log);
      working = Promise.all([
        flushUntil(stopping.signal, shared, log),
        writePath.watchUntil(stopping.signal),
        limits.keep(stopping.signal),
        live.watchUntil(stopping.signal),
        ...opened.map(({ work }) => work?.(stopping.signal)),
      ]);
      announceAuthentication(config, log);
      log.info('api_started', { host: config.host, port, queue: backend.kind });
      return { port };
    },
    async stop() {
      stopping.abort();
      loop.stop();
      waiter.close();
      events.close();
      await sockets.close();
      for (const { stop } of opened) stop?.();
      await closeServer(server, config.shutdownGraceSeconds);
      await runs.drain();
      await working;
      await resources.ends?.stop();
      await spans?.stop();
      await flushLast(shared, log);
      limits.close();
      await listener.close();
      await queue.close();
      await backend.close();
      await resources.expressions.close();
      await authentication.close();
      await egress.close();
      for (const { close } of opened) await close?.();
      await resources.database.close();
    },
  };
}
