/** The door of workers outside. */
import type pg from 'pg';
import { maskOf } from '../domain/mask-secrets.ts';
import { createExternalLogs } from '../engine/external-logs.ts';
import { createExternalTasks, type ExternalTaskDeps, type ExternalTasks } from '../engine/external-tasks.ts';
import { createExternalTaskStore } from '../store/external-tasks.ts';
import { createTaskLogStore } from '../store/task-logs.ts';

export function externalTasksOf(
  deps: Omit<ExternalTaskDeps, 'tasks' | 'logs'> & { pool: pg.Pool; hidden: readonly string[] },
): ExternalTasks {
  const { pool, hidden, log } = deps;
  const logs = createExternalLogs({ store: createTaskLogStore(pool), mask: maskOf(hidden), log });
  return createExternalTasks({ ...deps, tasks: createExternalTaskStore(pool), logs });
}
