/** One API process, put together. */
import { randomBytes, randomUUID } from 'node:crypto';
import { v7 as uuidv7 } from 'uuid';
import { createCatalogue } from '../../workers/catalogue.ts';
import { adaptersFor } from '../../workers/shipped-adapters.ts';
import type { Config } from '../config.ts';
import { createBoard } from '../dashboard/board.ts';
import { forwardingProblems } from '../doctor/forwarding.ts';
import type { Checks } from '../domain/checks.ts';
import { FINALIZER_QUEUE, GATE_QUEUE } from '../domain/compile.ts';
import { DEFAULT_RETRY } from '../domain/definition.ts';
import { mergeDefinition, normaliseDefinition } from '../domain/normalise.ts';
import { shareOf } from '../domain/queue-room.ts';
import { SYSTEM_WORKFLOWS } from '../domain/system-workflows.ts';
import { createAcceptRuns } from '../engine/accept-run.ts';
import { createAdmission } from '../engine/admit.ts';
import { boundAccepts, MAX_RUNS_IN_HAND, sampled } from '../engine/bound-accepts.ts';
import { tellingParents } from '../engine/child-ended.ts';
import { noticingEnds } from '../engine/ended-runs.ts';
import { createEngineHealth } from '../engine/engine-health.ts';
import { createEventLog } from '../engine/event-log.ts';
import { createRunFollower } from '../engine/follow-run.ts';
import { createKeyring } from '../engine/keyring.ts';
import { fieldsOfCaller, withFields } from '../engine/log-fields.ts';
import { createPlans } from '../engine/plans.ts';
import type { Logger } from '../engine/ports.ts';
import { boundLiveRuns, boundQueuedRuns, type CountDeps } from '../engine/queued-runs.ts';
import { refusingRecursion } from '../engine/refuse-recursion.ts';
import { createRegistry } from '../engine/registry.ts';
import { createEndReplaced } from '../engine/run-concurrency.ts';
import { createSchedules } from '../engine/schedules.ts';
import { makeWebhookSecret } from '../engine/sign-webhook.ts';
import { createSystemHealth } from '../engine/system-health.ts';
import { createSystemRuns } from '../engine/system-runs.ts';
import { createSystemWorkflows, headsWithSystem, withSystemWorkflows } from '../engine/system-workflows.ts';
import { createWaitingPolls } from '../engine/waiting-polls.ts';
import { createWebhooks } from '../engine/webhooks.ts';
import { withChecks } from '../engine/with-checks.ts';
import { createDirectChecks } from '../expressions/direct-checks.ts';
import { createExpressions } from '../expressions/expressions.ts';
import { BOARD_PATH, createHttpApp } from '../http/app.ts';
import { createHttpServer } from '../http/server.ts';
import { attachTaskSockets } from '../http/task-sockets.ts';
import { createLaneDepths } from '../queue/depths.ts';
import { createFlowQueue } from '../queue/flow-queue.ts';
import { openBackend } from '../queue/open-backend.ts';
import type { JsonObject } from '../schemas/json.ts';
import { createChildStore } from '../store/child-runs.ts';
import { LONGEST_LOCK_WAIT_MS, LONGEST_STATEMENT_MS, openDatabase } from '../store/database.ts';
import { countDeadLetters } from '../store/dead-letters.ts';
import { createDefinitions } from '../store/definitions.ts';
import { createDocumentStore } from '../store/documents.ts';
import { durabilityOf } from '../store/durability.ts';
import { createEngineHealthStore } from '../store/engine-health.ts';
import { createEventLogStore, createPlatformEvents } from '../store/event-log.ts';
import { TOPIC_CHANNEL } from '../store/external-attempts.ts';
import { createFindRun } from '../store/inbox.ts';
import { createLateEffectReader } from '../store/late-effects-read.ts';
import { listen } from '../store/listener.ts';
import { createLoginSessions } from '../store/login-sessions.ts';
import { countLiveRuns, countQueuedRuns } from '../store/queued-runs.ts';
import { createRetryStore } from '../store/reopen-run.ts';
import { createRunEvents } from '../store/run-events.ts';
import { createRunStore } from '../store/run-store.ts';
import { createRunReader } from '../store/runs-read.ts';
import { createSagaStore } from '../store/sagas.ts';
import { createSagaReader } from '../store/sagas-read.ts';
import { createScheduleStore } from '../store/schedules.ts';
import { createCircuitStore } from '../store/service-circuits.ts';
import { createServiceStore } from '../store/services.ts';
import { storeFault } from '../store/sqlstate.ts';
import { createSweepStore } from '../store/sweep-store.ts';
import { createSystemWorkflowStore } from '../store/system-workflows.ts';
import { createLogReader } from '../store/task-logs.ts';
import { createTaskReportStore } from '../store/task-reports.ts';
import { createTaskStates } from '../store/task-states.ts';
import { createTaskStore } from '../store/task-store.ts';
import { createTenantData } from '../store/tenant-data.ts';
import { createTraceReader } from '../store/traces.ts';
import { needsRepair } from '../store/transient.ts';
import { isUnavailable } from '../store/unavailable.ts';
import { createRunWaiter } from '../store/wait-for-runs.ts';
import { createWebhookStore } from '../store/webhooks.ts';
import { createWorkflowHeads } from '../store/workflow-heads.ts';
import { createWorkflowStore } from '../store/workflows.ts';
import { probeAll } from '../store/write-path.ts';
import { monitorLoop } from '../telemetry/event-loop.ts';
import { VERSION } from '../version.ts';
import { healthOf } from './api-health.ts';
import { apiMetrics, tellAnswers, timingAccepts } from './api-metrics.ts';
import { auditOf } from './audit.ts';
import { announceAuthentication, apiKeysOf, authenticationOf } from './authentication.ts';
import { controlOf } from './control.ts';
import { diagnosisOf } from './diagnosis.ts';
import { doorLimits } from './door-limits.ts';
import { doorMetrics, flushLast, flushUntil, sharedMetrics } from './door-metrics.ts';
import { addressCheckOf, egressOf, ownAddresses } from './egress.ts';
import { externalTasksOf } from './external-tasks.ts';
import { createFailpoint } from './failpoints.ts';
import { failuresOf } from './failures.ts';
import { fairnessOf, liveWeights } from './fairness.ts';
import { processFaults, writePathOf } from './faults.ts';
import { closeServer, listenOn } from './http-listening.ts';
import { incomingEvents } from './incoming-events.ts';
import { payloadsOf } from './payloads.ts';
import { peersOf } from './peers.ts';
import { peopleAt } from './people.ts';
import { announce, type Process } from './process.ts';
import { secretsOf } from './secrets.ts';
import { checkingOperations, serviceApiReaderOf } from './service-apis.ts';
import { tracedEnds } from './traced-ends.ts';
import { tracingAccepts, tracingAnswers, tracingQueue } from './traced-work.ts';
import { tracesOf } from './traces.ts';
import { createWall } from './wall.ts';
import { createWorkflowCatalog } from './workflow-catalog.ts';

/** How long a door waits for the queue before it leaves a run to the dispatcher. */
const QUEUE_TIMEOUT_MS = 2_000;
/** The dispatcher takes a run that is still pending after two seconds. */
const MARK_QUEUED_AFTER_MS = 500;

/** The API: doors, acceptance, and a window into the queues. It holds no state. */
export function apiProcess(config: Config, databaseUrl: string, given: Logger): Process {
  const wall = createWall(config.rowLevelSecurity, given);
  const faults = processFaults();
  const log = withFields(faults.reporting(given), () => fieldsOfCaller(wall.scope.caller()));
  const onError = (error: Error) => log.warn('database_error', { error: error.message });
  const behindWall = {
    tenant: wall.scope.tenant,
    isWalled: () => wall.stands(database.everyTenant),
    gap: () => wall.gap(database.everyTenant),
  };
  const database = openDatabase(databaseUrl, {
    name: 'orchestrator-api',
    max: config.databasePoolSize,
    onError,
    wall: behindWall,
    longestStatementMs: LONGEST_STATEMENT_MS,
    statements: faults.statements,
    longestLockWaitMs: LONGEST_LOCK_WAIT_MS,
    payloads: payloadsOf(config),
  });
  const { pool, everyTenant, prisma } = database;
  const writePath = writePathOf(faults.ledger, database, () => probeAll(everyTenant), log);
  const { redisUrl, queuePrefix: prefix } = config;
  const backend = openBackend({
    redisUrl,
    databaseUrl,
    prefix,
    patience: 'fail',
    name: 'orchestrator-api',
    log,
  });
  const failpoint = createFailpoint(config.failpoints);
  const spans = tracesOf(config, 'api', log);
  const ends = tracedEnds(spans, everyTenant, log);
  const queue = tracingQueue(createFlowQueue({ backend, timeoutMs: QUEUE_TIMEOUT_MS }), spans, Date.now);
  const expressions = createExpressions({ maxResultBytes: config.maxOutputBytes, threads: config.expressionThreads });
  const catalogue = createCatalogue(adaptersFor({ underTest: config.nodeEnv === 'test' }));
  const { maxAttempts: max_attempts, backoffBase } = config.defaultRetry;
  const defaults = {
    timeout_seconds: config.defaultTimeoutSeconds,
    retry: { ...DEFAULT_RETRY, max_attempts, initial_delay_seconds: backoffBase, multiplier: backoffBase },
  };
  const ownChecks = createDirectChecks();
  const rules = (checks: Checks) => ({ ...catalogue, checks, defaults });
  const normaliseOwn = (body: JsonObject) => normaliseDefinition(body, rules(ownChecks));
  const normalise = (tenantId: string, body: JsonObject) =>
    withChecks(expressions, tenantId, (checks) => normaliseDefinition(body, rules(checks)));

  const definitions = createDefinitions(pool);
  const plans = createPlans(definitions);
  const children = createChildStore(pool);
  const runs = tellingParents(
    noticingEnds(
      createRunStore(pool, {
        markQueuedAfterMs: MARK_QUEUED_AFTER_MS,
        told: (write) => metrics.wrote(write),
        everyTenant,
      }),
      ends,
    ),
    {
      children,
      tasks: createTaskStore(pool),
      queue,
      failpoint,
      log,
    },
  );
  const system = createSystemWorkflows({
    workflows: SYSTEM_WORKFLOWS,
    store: createSystemWorkflowStore(pool),
    normalise: normaliseOwn,
  });
  const workflows = withSystemWorkflows(
    checkingOperations(refusingRecursion(createWorkflowStore(prisma, uuidv7)), config, pool),
    system,
  );
  const waiter = createRunWaiter(everyTenant);
  const follower = createRunFollower(createRunEvents(everyTenant), { live: createTaskReportStore(pool) });
  const polls = createWaitingPolls();
  const live = liveWeights(config, everyTenant, log);
  const admission = createAdmission({
    plans,
    runs,
    queue,
    failpoint,
    window: config.admissionWindow,
    fairness: fairnessOf(live),
    log,
    now: () => performance.now(),
  });
  const retryDeps = {
    plans,
    runs,
    queue,
    failpoint,
    sweep: createSweepStore(pool),
    retries: createRetryStore(pool),
    sagas: createSagaStore(pool),
    window: config.admissionWindow,
    // Only for how urgent a job is against others, in broad classes.
    now: Date.now,
    log,
  };
  const inbox = { findRun: createFindRun(pool), plans, queue, texts: expressions, failpoint, log };
  const queueUse = sampled(
    () => backend.memoryUse(),
    () => performance.now(),
  );
  const queueRejects = sampled(
    () => backend.rejectsWrites(),
    () => performance.now(),
  );
  const liveRuns: CountDeps = {
    limit: config.maxLiveRunsPerTenant,
    count: (tenantId, most) => countLiveRuns(pool, tenantId, most),
    now: () => performance.now(),
  };
  const queued: CountDeps = {
    limit: config.maxQueuedRunsPerTenant,
    count: (tenantId, most) => countQueuedRuns(pool, tenantId, most),
    now: () => performance.now(),
  };
  const bounded = boundAccepts(
    boundLiveRuns(
      boundQueuedRuns(
        createAcceptRuns({
          actionTypes: catalogue,
          texts: expressions,
          workflows,
          workflowHead: headsWithSystem(createWorkflowHeads(pool), system),
          plans,
          runs,
          admission,
          endReplaced: createEndReplaced({ plans, runs, queue, log }),
          failpoint,
          defaults,
          newId: uuidv7,
        }),
        queued,
      ),
      liveRuns,
    ),
    {
      maxRuns: MAX_RUNS_IN_HAND,
      queueUse,
    },
  );
  const accept = tracingAccepts(
    timingAccepts(bounded, (result, seconds) => metrics.accepted(result, seconds)),
    spans,
    Date.now,
  );
  const loop = monitorLoop((lagMs) => {
    log.warn('event_loop_lag', { lag_ms: Math.round(lagMs), in_hand: accept.inHand() });
  });
  const shared = sharedMetrics(everyTenant);
  const stopping = new AbortController();
  let flushing: Promise<unknown> | undefined;
  const metrics = apiMetrics({
    queue: backend.kind,
    connections: database.connections,
    acceptsInHand: accept.inHand,
    deadLetters: () => countDeadLetters(everyTenant),
    engine: () => engineHealth.report(),
    queueUse: () => {
      const use = queueUse();
      return use && shareOf(use);
    },
    loopLagMs: loop.recentMs,
    faults: faults.ledger.problems,
    databaseUsable: () => writePath.lastFault() === undefined,
  });

  const audit = auditOf(config, everyTenant, log);
  audit.count(metrics.registry);
  const limits = doorLimits(config, { pool: everyTenant, registry: metrics.registry, shared, log });
  const reader = createRunReader(pool, definitions);
  const depths = createLaneDepths(queue.queues([...catalogue.names(), FINALIZER_QUEUE]));

  const engineHealth = createEngineHealth({
    store: createEngineHealthStore(everyTenant),
    queue: depths,
    queueUse,
    faults: faults.ledger.problems,
    isRejected: needsRepair,
    now: () => performance.now(),
  });
  const lanes = catalogue.names();
  const { queues } = queue;
  const diagnosis = diagnosisOf(config, {
    databaseUrl,
    backend,
    queues,
    depths,
    engineHealth,
    queueUse,
    queueRejects,
    lanes,
    wall: behindWall,
    onError,
  });
  const services = createServiceStore(pool);
  const peers = peersOf(config, everyTenant);
  const own = ownAddresses(config, databaseUrl);
  const egress = egressOf(config, { own, log, onDecision: () => undefined });
  const registry = createRegistry({
    services,
    circuits: createCircuitStore(pool),
    configured: config.services,
    checkAddress: addressCheckOf(config, own),
  });

  const authentication = authenticationOf(config, log, everyTenant);

  const app = createHttpApp({
    config: { ...config, version: VERSION },
    log,
    whoAsks: authentication.whoAsks,
    login: authentication.login,
    apiKeys: apiKeysOf(pool),
    loginSessions: createLoginSessions(pool),
    clock: { now: () => new Date() },
    inTenant: wall.scope.in,
    accept,
    ...controlOf({
      ...retryDeps,
      pool,
      everyTenant,
      children,
      depths,
      lanes,
      reader,
      isIdempotent: catalogue.isIdempotent,
      newId: uuidv7,
    }),
    ...peopleAt(config, pool, { ...inbox, runs, egress }),
    ...failuresOf(pool, retryDeps),
    logs: createLogReader(pool),
    audit: audit.trail,
    auditLog: audit.reader,
    tenantData: createTenantData(everyTenant, uuidv7),
    tenantWeights: live.store,
    sagas: createSagaReader(pool, definitions),
    lateEffects: createLateEffectReader(pool),
    traces: createTraceReader(pool),
    schedules: createSchedules({
      schedules: createScheduleStore(pool),
      workflows,
      accept,
      texts: expressions,
      newId: uuidv7,
      now: Date.now,
    }),
    externalTasks: externalTasksOf({ pool, hidden: config.hidden, polls, queue, failpoint, log }),
    secrets: secretsOf(config, pool),
    webhooks: createWebhooks({
      webhooks: createWebhookStore(pool, createKeyring(config.secretKeys)),
      newId: uuidv7,
      newSecret: () => makeWebhookSecret(randomBytes),
    }),
    registry,
    peers,
    serviceApis: serviceApiReaderOf(config, pool, services),
    documents: createDocumentStore(pool),
    record: createPlatformEvents(pool),
    newId: randomUUID,
    system: createSystemRuns({ system, accept, wait: waiter, reader }),
    incoming: incomingEvents({ pool, plans, accept, queue, failpoint, expressions, texts: expressions, config, log }),
    eventLog: createEventLog({ log: createEventLogStore(pool), accept, stream: config.eventsStream?.name }),
    wait: waiter,
    events: follower,
    health: healthOf(everyTenant, queue, backend.kind, engineHealth),
    writePath,
    engineHealth,
    why: diagnosis.why,
    problems: diagnosis.problems,
    systemHealth: createSystemHealth({
      database: () => everyTenant.query('SELECT 1'),
      queue: { name: backend.kind === 'redis' ? 'redis' : 'queue', ping: queue.ping },
      engine: engineHealth,
      registry,
      peers,
      timeoutMs: config.healthCheckTimeoutMs,
      now: () => performance.now(),
    }),
    actionTypes: catalogue,
    workflows,
    catalog: createWorkflowCatalog(pool, { workflows, definitions, normalise, normaliseOwn }),
    runs: reader,
    definitions: {
      normalise,
      merge: (tenantId, current, patch) =>
        withChecks(expressions, tenantId, (checks) => mergeDefinition(current, patch, rules(checks))),
    },
    isUnavailable,
    needsRepair: (error) => (needsRepair(error) ? storeFault(error)?.class : undefined),
    board: createBoard(queue.queues([...catalogue.names(), FINALIZER_QUEUE, GATE_QUEUE]), BOARD_PATH),
    metrics: config.metricsEnabled ? doorMetrics(metrics.registry, shared) : undefined,
    answered: tracingAnswers(tellAnswers(shared, metrics), spans, Date.now),
    spans,
    limits,
    effectiveConfig: config.effective,
  });
  const server = createHttpServer(app, config.tls, config.maxConnections);
  const sockets = attachTaskSockets(server, {
    whoAsks: authentication.whoAsks,
    config,
    inTenant: wall.scope.in,
    events: follower,
    states: createTaskStates(pool, definitions),
    limits,
    audit: audit.trail,
    clock: { now: () => new Date() },
    log,
  });
  const listener = listen(
    databaseUrl,
    {
      run_live: follower.notice,
      run_final(runIds) {
        waiter.notice(runIds);
        follower.notice(runIds);
      },
      [TOPIC_CHANNEL]: polls.notice,
    },
    {
      name: 'orchestrator-api-listen',
      onGap() {
        metrics.listening();
        waiter.readAgain();
        follower.lookAgain();
        polls.noticeAll();
      },
      onError,
    },
  );

  return {
    // The next process says so before it opens anything.
    broken: database.unsupported,
    async start() {
      await spans?.start(metrics.registry);
      await wall.expected(everyTenant);
      // Before the first request: nothing is accepted that could not be committed.
      await writePath.fault();
      await live.ready();
      const port = await listenOn(server, config);
      own.push({ host: config.host, port });
      void announce('queue_setup', backend.warnings(), log);
      void announce('database_setup', durabilityOf(everyTenant), log);
      void announce('proxy_setup', forwardingProblems(everyTenant), log);
      flushing = Promise.all([
        flushUntil(stopping.signal, shared, log),
        audit.keepUntil(stopping.signal),
        writePath.watchUntil(stopping.signal),
        limits.keep(stopping.signal),
        live.watchUntil(stopping.signal),
      ]);
      announceAuthentication(config, log);
      log.info('api_started', { host: config.host, port, queue: backend.kind });
      return { port };
    },
    async stop() {
      stopping.abort();
      loop.stop();
      waiter.close();
      follower.close();
      await sockets.close();
      polls.close();
      await closeServer(server, config.shutdownGraceSeconds);
      await runs.drain();
      await flushing;
      await ends?.stop();
      await spans?.stop();
      await audit.close();
      await flushLast(shared, log);
      limits.close();
      await listener.close();
      await queue.close();
      await backend.close();
      await expressions.close();
      await authentication.close();
      await egress.close();
      await diagnosis.close();
      await database.close();
    },
  };
}
