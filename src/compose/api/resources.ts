/** What an API process opens first and hands down: its stores, the queue, the evaluator of expressions, log and spans. */
import { fieldsOfCaller, withFields } from '../../engine/deliver/log-fields.ts';
import { createExpressions } from '../../expressions/expressions.ts';
import { tracesOf } from '../../features/tracing/assemble.ts';
import { tracedEnds } from '../../features/tracing/traced-ends.ts';
import { tracedQueue } from '../../features/tracing/traced-work.ts';
import { createFlowQueue } from '../../queue/flow-queue.ts';
import { openBackend } from '../../queue/open-backend.ts';
import { LONGEST_LOCK_WAIT_MS, LONGEST_STATEMENT_MS, openDatabase } from '../../store/core/database.ts';
import { probeAll } from '../../store/tasks/write-path.ts';
import { createFailpoint } from '../failpoints.ts';
import { processFaults, writePathOf } from '../faults.ts';
import { payloadsOf } from '../payloads.ts';
import type { ProcessStart } from '../process.ts';
import { createRowLevelSecurity } from './row-level-security.ts';

/** How long a request waits for the queue before it leaves a run to the dispatcher. */
const QUEUE_TIMEOUT_MS = 2_000;

export type ApiResources = ReturnType<typeof openApiResources>;

export function openApiResources({ config, databaseUrl, log: given }: ProcessStart) {
  const isolation = createRowLevelSecurity(config.rowLevelSecurity, given);
  const faults = processFaults();
  const log = withFields(faults.reporting(given), () => fieldsOfCaller(isolation.scope.caller()));
  const onDatabaseError = (error: Error) => log.warn('database_error', { error: error.message });
  const rowLevelSecurity = {
    tenant: isolation.scope.tenant,
    isEnforced: () => isolation.stands(database.everyTenant),
    gap: () => isolation.gap(database.everyTenant),
  };
  const database = openDatabase(databaseUrl, {
    name: 'orchestrator-api',
    max: config.databasePoolSize,
    onError: onDatabaseError,
    rowLevelSecurity,
    longestStatementMs: LONGEST_STATEMENT_MS,
    statements: faults.statements,
    longestLockWaitMs: LONGEST_LOCK_WAIT_MS,
    payloads: payloadsOf(config),
  });
  const { pool, everyTenant, prisma } = database;
  const { redis, queuePrefix: prefix, redisShards: shards } = config;
  const backend = openBackend({
    redis,
    databaseUrl,
    prefix,
    shards,
    offlineCommands: 'fail',
    name: 'orchestrator-api',
    log,
  });
  const spans = tracesOf(config, 'api', log);
  return {
    ...{
      config,
      databaseUrl,
      log,
      onDatabaseError,
      isolation,
      rowLevelSecurity,
      database,
      pool,
      everyTenant,
      prisma,
      backend,
    },
    faults: faults.ledger,
    writePath: writePathOf(faults.ledger, database, () => probeAll(everyTenant), log),
    failpoint: createFailpoint(config.failpoints),
    spans,
    ends: tracedEnds(spans, everyTenant, log),
    queue: tracedQueue(createFlowQueue({ backend, timeoutMs: QUEUE_TIMEOUT_MS }), spans, Date.now),
    expressions: createExpressions({ maxResultBytes: config.maxOutputBytes, threads: config.expressionThreads }),
  };
}
