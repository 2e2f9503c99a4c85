/**
 * Has the Job of a task run, in steps of which each may be repeated by another worker: store its row, check whether
 * the cluster has it already, apply it, wait for its end, read what it wrote. Its name follows from the idempotency key of the
 * task, so whoever comes after a worker that died finds the same Job and waits for the rest.
 */
import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { NonRetryableError, RetryableError } from '../../../workers/adapter.ts';
import { errorMessage } from '../../domain/texts/error-message.ts';
import type { Failpoint } from '../../engine/ports/failpoint.ts';
import type { JobContext } from './adapter.ts';
import { type JobDefaults, type JobKey, jobName, manifestOf } from './domain.ts';
import { type Kubectl, type KubectlEnd, KubectlUnavailable } from './kubectl.ts';
import type { JobTask, KubernetesJobs } from './ports.ts';
import { type FoundJob, isRejection, isSpent, isWaitTimeout, readJob, secondsLeft, tailOf } from './read-output.ts';
import type { JobRequest, JobResult } from './schemas.ts';

export interface RunJobDeps {
  enabled: boolean;
  defaults: JobDefaults;
  namespaces: ReadonlySet<string>;
  jobs: Pick<KubernetesJobs, 'installation' | 'open'>;
  kubectl: Pick<Kubectl, 'apply' | 'find' | 'wait' | 'logs' | 'remove'>;
  failpoint: Failpoint;
  /** What was written is cut so that it fits into an output. */
  maxOutputBytes: number;
}

export interface JobOfTask extends JobTask {
  tenantId: string;
}

/** `kubectl wait` notices that a Job has completed; polls notice that it has failed. */
const CHECK_EVERY_MS = 2_000;
const MAX_LOG_BYTES = 256 * 1024;
/** What a failed Job wrote last, in the error. */
const MAX_ERROR_BYTES = 4 * 1024;
/** Of an output, beside the logs. */
const OTHER_BYTES = 512;

interface Running {
  deps: RunJobDeps;
  key: JobKey;
  context: JobContext;
}

export async function runJob(
  deps: RunJobDeps,
  task: JobOfTask,
  request: JobRequest,
  context: JobContext,
): Promise<JobResult> {
  if (!deps.enabled) return { status: 'disabled' };
  const namespace = request.namespace ?? deps.defaults.namespace;
  if (!deps.namespaces.has(namespace)) throw invalid(namespaceFault(namespace, deps.namespaces));
  const digest = createHash('sha256').update(context.idempotencyKey).digest('hex');
  const key = { namespace, name: jobName(request.job_name, digest) };
  if (!(await deps.jobs.open(key, task))) return context.park();
  const running = { deps, key, context };
  try {
    const found = await ensure(running, task, request);
    if (request.wait === false) return { status: 'submitted', job_name: key.name, waited: false, logs: null };
    const seconds = request.timeout_seconds ?? deps.defaults.timeoutSeconds;
    const wait = { attempt: context.attempt, nowMs: context.now().getTime(), seconds };
    await untilComplete(running, found, secondsLeft(found, wait));
    // What is escaped in JSON takes twice as many bytes at most.
    const room = Math.max(0, Math.floor((deps.maxOutputBytes - OTHER_BYTES) / 2));
    const logs = await readLogs(running, Math.min(MAX_LOG_BYTES, room));
    return { status: 'submitted', job_name: key.name, waited: true, logs: logs ?? null };
  } catch (error) {
    // What stopped it speaks for itself.
    context.signal.throwIfAborted();
    if (error instanceof KubectlUnavailable) {
      throw new RetryableError(error.message, { code: 'upstream_error', cause: error });
    }
    throw error;
  }
}

export function namespaceFault(namespace: string, namespaces: ReadonlySet<string>): string {
  return `'${namespace}' is none of ${[...namespaces].sort().join(', ')}: KUBERNETES_NAMESPACES names those that there are`;
}

/** Resolves to the Job that was there already. */
async function ensure(
  { deps, key, context }: Running,
  { tenantId, runId, actionId }: JobOfTask,
  request: JobRequest,
): Promise<FoundJob | undefined> {
  const { attempt, signal } = context;
  const found = readFound(answered('get', await deps.kubectl.find(key, signal)));
  if (found !== undefined && !isSpent(found, attempt)) return found;
  if (found !== undefined) {
    for (const kind of ['job', 'podgroup'] as const) {
      answered('delete', await deps.kubectl.remove(kind, key, signal));
    }
  }
  const origin = { installation: await deps.jobs.installation(), tenantId, runId, actionId, attempt };
  const manifest = JSON.stringify(manifestOf(key, request, deps.defaults, origin));
  await deps.failpoint('kubernetes.beforeApply');
  answered('apply', await deps.kubectl.apply(manifest, signal));
  context.log.info('kubernetes job applied', { job_name: key.name, namespace: key.namespace });
  await deps.failpoint('kubernetes.afterApply');
  return undefined;
}

/** Returns when the Job has completed; throws when it has failed, or the time is over. */
async function untilComplete(running: Running, found: FoundJob | undefined, seconds: number): Promise<void> {
  if (found?.state === 'complete') return;
  if (found?.state === 'failed') throw await failed(running, found);
  const { deps, key, context } = running;
  const stop = new AbortController();
  const signal = AbortSignal.any([context.signal, stop.signal]);
  try {
    const waits = deps.kubectl.wait(key, seconds, signal);
    const ended = await Promise.race([waits, untilEnded(running, signal)]);
    if ('code' in ended) return await afterWait(running, ended, seconds);
    if (ended.state === 'failed') throw await failed(running, ended);
  } finally {
    stop.abort();
  }
}

/** Polls. A poll that fails is left out: `kubectl wait` reports a fault that does not pass. */
async function untilEnded({ deps, key, context }: Running, signal: AbortSignal): Promise<FoundJob> {
  for (;;) {
    await sleep(CHECK_EVERY_MS, undefined, { signal });
    context.heartbeat();
    const end = await deps.kubectl.find(key, signal).catch((error: unknown) => {
      if (error instanceof KubectlUnavailable) return undefined;
      throw error;
    });
    const found = end?.code === 0 ? readFound(end) : undefined;
    if (found !== undefined && found.state !== 'active') return found;
  }
}

/** `kubectl wait` has ended by itself. */
async function afterWait(running: Running, end: KubectlEnd, seconds: number): Promise<void> {
  if (end.code === 0) return;
  const { deps, key, context } = running;
  // It may have failed or completed in the same moment.
  const found = readFound(answered('get', await deps.kubectl.find(key, context.signal)));
  if (found?.state === 'complete') return;
  if (found?.state === 'failed') throw await failed(running, found);
  if (found === undefined) {
    throw new RetryableError(`the Job ${key.name} is not in the cluster any more`, { code: 'job_failed' });
  }
  if (isWaitTimeout(end.stderr)) {
    throw new RetryableError(`the Job ${key.name} has not completed within ${seconds} s`, { code: 'timeout' });
  }
  answered('wait', end);
}

async function failed(running: Running, { why }: FoundJob): Promise<RetryableError> {
  const logs = await readLogs(running, MAX_ERROR_BYTES);
  const said = [why, logs?.trim()].filter((text) => text !== undefined && text !== '').join('\n');
  return new RetryableError(`the Job ${running.key.name} has failed${said === '' ? '' : `: ${said}`}`, {
    code: 'job_failed',
  });
}

/** Undefined: there are none. What a Job has done counts all the same. */
async function readLogs({ deps, key, context }: Running, maxBytes: number): Promise<string | undefined> {
  try {
    // One byte more shows whether something is left out.
    const end = await deps.kubectl.logs(key, maxBytes + 1, context.signal);
    if (end.code === 0) return tailOf(end.stdout, maxBytes);
    context.log.warn('kubernetes logs not read', { job_name: key.name, reason: end.stderr });
  } catch (error) {
    context.signal.throwIfAborted();
    context.log.warn('kubernetes logs not read', { job_name: key.name, reason: errorMessage(error) });
  }
  return undefined;
}

/** Throws when kubectl reports a fault: with what the cluster said, and whether the same might go well another time. */
export function answered(verb: string, end: KubectlEnd): KubectlEnd {
  if (end.code === 0) return end;
  const message = `kubectl ${verb} has failed: ${end.stderr === '' ? `exit code ${end.code}` : end.stderr}`;
  if (isRejection(end.stderr)) throw new NonRetryableError(message, { code: 'job_failed' });
  throw new RetryableError(message, { code: 'upstream_error' });
}

function readFound({ stdout }: KubectlEnd): FoundJob | undefined {
  try {
    return readJob(stdout.toString('utf8'));
  } catch (error) {
    throw new KubectlUnavailable('kubectl get wrote something else than a Job', { cause: error });
  }
}

function invalid(message: string): NonRetryableError {
  return new NonRetryableError(`namespace: ${message}`, { code: 'input_invalid' });
}
