/** The API of external workers. */
import type pg from 'pg';
import { maskOf } from '../../domain/texts/mask-secrets.ts';
import { createTaskLogStore } from '../run-logs/store.ts';
import { createExternalLogs } from './external-logs.ts';
import { createExternalTasks, type ExternalTaskDeps, type ExternalTasks } from './lease-tasks.ts';
import { createExternalTaskStore } from './store.ts';

export function externalTasksOf(
  deps: Omit<ExternalTaskDeps, 'tasks' | 'logs'> & { pool: pg.Pool; hidden: readonly string[] },
): ExternalTasks {
  const { pool, hidden, log } = deps;
  const logs = createExternalLogs({ store: createTaskLogStore(pool), mask: maskOf(hidden), log });
  return createExternalTasks({ ...deps, tasks: createExternalTaskStore(pool), logs });
}
