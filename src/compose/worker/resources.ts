/** What a worker opens first and hands down: its database, the queue, the evaluator of expressions, clock, log and spans. */
import { hostname } from 'node:os';
import { createExpressions } from '../../expressions/expressions.ts';
import { tracedWorker } from '../../features/tracing/traced-worker.ts';
import { createFlowQueue } from '../../queue/flow-queue.ts';
import { openBackend } from '../../queue/open-backend.ts';
import { openDatabase } from '../../store/core/database.ts';
import { createDatabaseClock } from '../../store/core/database-clock.ts';
import { probeWritePath } from '../../store/tasks/write-path.ts';
import { afterGate, createFailpoint } from '../failpoints.ts';
import { processFaults, writePathOf } from '../faults.ts';
import { payloadsOf } from '../payloads.ts';
import type { ProcessStart } from '../process.ts';

/** A task that waits for the turn of its condition holds a slot of its lane, which tasks of other tenants need. */
const SLOT_HELD_MS = 200;

export type WorkerResources = ReturnType<typeof openWorkerResources>;

export function openWorkerResources({ config, databaseUrl, log: given }: ProcessStart) {
  const faults = processFaults();
  const log = faults.reporting(given);
  const onDatabaseError = (error: Error) => log.warn('database_error', { error: error.message });
  const database = openDatabase(databaseUrl, {
    name: 'orchestrator-worker',
    max: config.databasePoolSize,
    plansOnce: true,
    onError: onDatabaseError,
    statements: faults.statements,
    payloads: payloadsOf(config),
  });
  const { pool, prisma } = database;
  const { redis, queuePrefix: prefix, redisShards: shards } = config;
  const backend = openBackend({
    redis,
    databaseUrl,
    prefix,
    shards,
    // One more takes the ticks of schedules.
    offlineCommands: 'wait',
    name: 'orchestrator-worker',
    log,
  });
  const failpoint = createFailpoint(config.failpoints);
  const clock: ReturnType<typeof createDatabaseClock> = createDatabaseClock(pool, log);
  const traced = tracedWorker(config, { pool, now: clock.now, log });
  return {
    ...{ config, databaseUrl, faults, log, onDatabaseError, database, pool, prisma, backend, failpoint, clock, traced },
    now: clock.now,
    writePath: writePathOf(faults.ledger, database, () => probeWritePath(pool), log),
    queue: traced.queue(createFlowQueue({ backend, afterGate: afterGate(config.failpoints, failpoint) })),
    worker: `${hostname()}:${process.pid}`,
    expressions: createExpressions({
      maxResultBytes: config.maxOutputBytes,
      threads: config.expressionThreads,
      patienceMs: SLOT_HELD_MS,
    }),
  };
}
