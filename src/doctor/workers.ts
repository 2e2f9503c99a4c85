/** Who is alive, what is served, and what waits. */
import type pg from 'pg';
import { ALIVE_SECONDS, RECONCILE_LATE_SECONDS, STUCK_AFTER_SECONDS } from '../domain/health/liveness.ts';
import { mayMove } from '../store/core/states.ts';
import { countDeadLetters } from '../store/health/dead-letters.ts';
import { createEngineHealthStore } from '../store/health/engine-health.ts';
import { type Finding, ok, problem, warning } from './finding.ts';

export async function* checkWorkers(pool: pg.Pool, lanes: readonly string[], version: string): AsyncGenerator<Finding> {
  const { workers, sweep, stuck, active, queued } = await createEngineHealthStore(pool).facts(
    STUCK_AFTER_SECONDS,
    ALIVE_SECONDS,
  );
  const alive = workers.filter((worker) => worker.alive);
  const start = 'Start workers: npm run worker';
  if (alive.length === 0) yield problem('workers', 'no worker is alive', start);
  else {
    yield ok('workers', `${alive.length} workers are alive`);
    const unserved = lanes.filter((lane) => !alive.some((worker) => worker.lanes.includes(lane)));
    yield unserved.length === 0
      ? ok('lanes', `all ${lanes.length} lanes are served`)
      : warning(
          'lanes',
          `nobody serves ${unserved.join(', ')}`,
          'Start a worker with these among its WORKER_LANES, if they are used.',
        );
    const versions = [...new Set([version, ...alive.map((worker) => worker.version)])];
    yield versions.length === 1
      ? ok('versions', `all are version ${version}`)
      : warning(
          'versions',
          `versions ${versions.join(', ')} run side by side`,
          'Fine during an upgrade; then bring all to one version.',
        );
    const late = sweep === null || sweep.ageSeconds > RECONCILE_LATE_SECONDS;
    yield late
      ? problem(
          'sweep',
          sweep === null
            ? 'the reconciler has never passed'
            : `the reconciler passed last ${Math.round(sweep.ageSeconds)} s ago`,
          'Look for background_work_failed in the logs of the workers.',
        )
      : ok('sweep', `the reconciler passed ${Math.round(sweep?.ageSeconds ?? 0)} s ago`);
  }
  const { rows } = await pool.query<{ seconds: number | null }>(
    `SELECT extract(epoch FROM now() - min(created_at))::float8 AS seconds FROM run WHERE ${mayMove('start')} AND due_at IS NULL AND waits_for_slot IS NULL`,
  );
  const oldest = rows[0]?.seconds ?? null;
  const words = `${active} executions under way, ${queued} have not begun${oldest === null ? '' : `, the oldest for ${Math.round(oldest)} s`}`;
  yield ok('executions', words);
  if (stuck > 0)
    yield warning('stuck', `${stuck} executions have not moved for ten minutes`, 'GET /executions/{id}/why');
  const dead = await countDeadLetters(pool);
  yield dead === 0
    ? ok('dead_letters', 'there are none')
    : warning(
        'dead_letters',
        `${dead} tasks have failed for good and nobody has looked at them`,
        'GET /infrastructure/dlq; retry or discard them.',
      );
}
