/** The settings of the workers, of their processes and threads, and the defaults of their actions. */
import { decimal, list, whole } from '../types.ts';
import { setting } from './setting.ts';

export const workers = {
  workerLanes: setting('WORKER_LANES', list(), {
    default: 'all',
    description: 'The action types that a worker serves; a list, or all.',
    inConfig: (lanes) => (lanes.includes('all') ? ('all' as const) : lanes),
  }),
  workerConcurrency: setting('WORKER_CONCURRENCY', whole(1, 10_000), {
    default: '50',
    description: 'Maximum number of concurrent tasks of one lane in a worker.',
  }),
  workerPort: setting('WORKER_PORT', whole(0, 65_535), {
    default: '9090',
    description: 'The port of a worker for /health and /metrics; 0: any free port.',
    aliases: ['ORCHESTRATOR_METRICS_PORT', 'METRICS_PORT'],
  }),
  expressionThreads: setting('EXPRESSION_THREADS', whole(1, 64), {
    default: '2',
    description:
      'Number of threads of an API or worker process that evaluate expressions and check definitions, parameters and payloads; tenants get a fair share of them.',
  }),
  isolatedProcesses: setting('ISOLATED_PROCESSES', whole(1, 1_000), {
    default: '4',
    description:
      'Maximum number of concurrent tasks that a worker runs in separate processes: those of isolated adapters, and those suspected of crashing workers.',
  }),
  isolatedMemoryMb: setting('ISOLATED_MEMORY_MB', whole(32), {
    default: '512',
    description: 'Heap limit of such a process.',
  }),
  blockedSeconds: setting('BLOCKED_SECONDS', whole(0, 86_400), {
    default: '60',
    description: 'A process whose event loop is blocked for this long exits, to be restarted; 0: never.',
  }),
  deafSeconds: setting('DEAF_SECONDS', whole(1, 3_600), {
    default: '30',
    description:
      'An unresponsive worker, which takes no jobs for this long although jobs are waiting and it has capacity, reconnects, and exits if that does not help within the same time.',
  }),
  shutdownGraceSeconds: setting('SHUTDOWN_GRACE_SECONDS', whole(0, 3_600), {
    default: '30',
    description: 'Grace period for running tasks after SIGTERM.',
  }),
  maxOutputBytes: setting('MAX_OUTPUT_BYTES', whole(1_024), {
    default: '1048576',
    description: 'Maximum size of the output of an action.',
  }),
  defaultRetry: {
    maxAttempts: setting('MAX_RETRY_ATTEMPTS', whole(0, 1_000), {
      default: '3',
      description: 'Default number of retries of an action after its first attempt.',
      inConfig: (retries) => retries + 1,
    }),
    backoffBase: setting('RETRY_BACKOFF_BASE', decimal(1, 100), {
      default: '2',
      description:
        'Default base of the exponential backoff of an action: the n-th delay is the n-th power of it in seconds (2, 4, 8).',
    }),
  },
  defaultTimeoutSeconds: setting('TASK_TIMEOUT_DEFAULT', whole(1, 604_800), {
    default: '300',
    description: 'Default timeout of an attempt, in seconds.',
  }),
};
