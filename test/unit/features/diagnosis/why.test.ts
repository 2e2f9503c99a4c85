/** Why a run is not finished: from its facts, decided by the domain alone. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { visibleFaults } from '../../../../src/domain/health/fault-problems.ts';
import type { JobFact } from '../../../../src/domain/health/job-fact.ts';
import type { FaultGroup } from '../../../../src/domain/health/system-faults.ts';
import { CAUSE_CODES, type Cause, isBroken, span } from '../../../../src/domain/health/why-causes.ts';
import { explain } from '../../../../src/features/diagnosis/domain.ts';
import type { ActionFact, LaneFact, RunFact, RunFacts, TaskFact } from '../../../../src/features/diagnosis/facts.ts';
import { PROBLEM_CODES, type SystemFacts, systemProblems } from '../../../../src/features/diagnosis/system-problems.ts';
import {
  causeOfMessage,
  type MessageSurroundings,
  type OpenMessage,
} from '../../../../src/features/flow-runner/open-messages.ts';

const NOW = 1_900_000_000_000;
const RUN: RunFact = {
  id: 'run-1',
  status: 'running',
  final: false,
  createdAt: NOW - 60_000,
  finishedAt: undefined,
  dueAt: undefined,
  deadlineAt: undefined,
  cancelReason: undefined,
  workflowStatus: 'active',
  checkAt: NOW + 20_000,
  isSaga: false,
  paused: undefined,
  pausedWith: undefined,
  cancelling: undefined,
};
const ACTION: ActionFact = {
  actionId: 'a',
  actionType: 'http_request',
  dependsOn: [],
  maxAttempts: 5,
  timeoutMs: 300_000,
  delayMs: 0,
  service: undefined,
  hasParts: false,
};
const TASK: TaskFact = {
  status: 'waiting',
  final: false,
  tolerated: false,
  attempts: 1,
  deliveries: 1,
  wakeAt: undefined,
  worker: 'w-1',
  startedAt: NOW - 30_000,
  finishedAt: undefined,
  updatedAt: NOW - 30_000,
  error: undefined,
  progress: undefined,
};
const WORKER = { id: 'w-1', alive: true, seenAt: NOW - 1_000, version: '1', lanes: ['http_request', 'runs'] };
const DEAD = { ...WORKER, alive: false, seenAt: NOW - 90_000 };
const LANE: LaneFact = { lane: 'http_request', paused: undefined, depth: 8, active: 2 };

const FAULT: FaultGroup = {
  kind: 'write_path',
  source: 'database',
  sources: ['database', 'commit-outcomes'],
  lanes: [],
  reporters: ['w-1'],
  class: '42P01',
  message: 'relation "task" does not exist',
  firstAt: NOW - 7_000,
  lastAt: NOW,
  count: 3,
};

const base: RunFacts = {
  now: NOW,
  version: '1',
  run: RUN,
  actions: [ACTION],
  tasks: new Map(),
  parts: new Map(),
  jobs: new Map<string, JobFact>([['a', { state: 'waiting', ahead: 7 }]]),
  finalizer: undefined,
  waits: new Map(),
  waitsSince: new Map(),
  externals: new Map(),
  children: new Map(),
  rateSlots: new Map(),
  group: undefined,
  window: undefined,
  queueReachable: true,
  queueRejects: undefined,
  queueUse: undefined,
  faults: [],
  queueFull: false,
  workers: [WORKER],
  lastPass: { at: NOW - 900, worker: 'w-1' },
  lanes: new Map([['http_request', LANE]]),
  blocked: undefined,
  circuits: new Map(),
};
const facts = (more: Partial<RunFacts>): RunFacts => ({ ...base, ...more });
const row = (more: Partial<TaskFact>): RunFacts['tasks'] => new Map([['a', { ...TASK, ...more }]]);
const job = (found: JobFact): RunFacts['jobs'] => new Map([['a', found]]);
const rootOf = (more: Partial<RunFacts>): Cause => explain(facts(more)).root;

const call: ActionFact = { ...ACTION, actionType: 'service_call', service: 'billing' };
const circuits = new Map([['billing', { state: 'open', since: NOW - 10_000, worker: 'w-1', instanceId: 'i-1' }]]);
const pending = { run: { ...RUN, status: 'pending' }, jobs: job({ state: 'missing' }) };
const MESSAGE = {
  ...{ actionId: 'a', handler: 'resize', attempt: 1, now: NOW },
  ...{ createdAt: NOW - 30_000, publishedAt: NOW - 20_000, deadlineAt: NOW + 60_000 },
};
const AROUND = { topic: 'task_queue', isReachable: true, maxOpenTasks: 10 };

/** As the feature says it of its tasks. */
function ofMessage(more: Partial<OpenMessage>, around: Partial<MessageSurroundings> = {}): Partial<RunFacts> {
  return { whyWaiting: new Map([['a', causeOfMessage({ ...MESSAGE, ...more }, { ...AROUND, ...around })]]) };
}

const external = {
  topic: 'resize',
  status: 'available',
  workerId: undefined,
  leaseUntil: undefined,
  deadlineAt: NOW + 100_000,
  createdAt: NOW - 12_000,
  deliveries: 0,
  leasedOfTopic: 3,
};
const child = explain(facts({ tasks: row({ status: 'running' }), jobs: job({ state: 'active', lockLeftMs: null }) }));

const ROOTS: Array<[string, Partial<RunFacts>, Partial<Cause>]> = [
  [
    'a database on which nothing can be committed, whatever else there is',
    { faults: [FAULT], workers: [], tasks: undefined },
    {
      code: 'database_not_usable',
      since: FAULT.firstAt,
      message: expect.stringContaining('42P01, a table is missing: relation "task" does not exist'),
      data: { class: '42P01', count: 3, sources: FAULT.sources, error: FAULT.message },
    },
  ],
  [
    'a database on which nothing can be committed, for whom what the server says is not',
    { faults: visibleFaults([FAULT], 'acme') },
    {
      code: 'database_not_usable',
      message: 'Tasks cannot be committed on this database (42P01, a table is missing).',
      data: { class: '42P01', count: 3, sources: FAULT.sources },
    },
  ],
  [
    'a statement of every task that the database rejects',
    { faults: [{ ...FAULT, kind: 'statement', sources: ['look-up'] }] },
    { code: 'statements_failing' },
  ],
  [
    'a statement that is none of its own',
    { faults: [{ ...FAULT, kind: 'statement', sources: ['insert audit'] }] },
    { code: 'lane_busy' },
  ],
  [
    'deliveries of its lane that end outside of the engine',
    { faults: [{ ...FAULT, kind: 'delivery', class: 'error', message: 'boom', lanes: ['http_request'] }] },
    { code: 'deliveries_failing', message: expect.stringContaining("'http_request'") },
  ],
  [
    'deliveries of another lane that end outside of the engine',
    { faults: [{ ...FAULT, kind: 'delivery', class: 'error', message: 'boom', sources: ['wait'], lanes: ['wait'] }] },
    { code: 'lane_busy' },
  ],
  [
    'a dispatcher that fails pass after pass, for what is not in the queue',
    { ...pending, faults: [{ ...FAULT, kind: 'work', class: '42703', sources: ['sweep'] }] },
    { code: 'background_work_failing', message: expect.stringContaining("'sweep'") },
  ],
  [
    'commits that are not answered',
    { faults: [{ ...FAULT, kind: 'progress', class: 'no_answer', message: '', sources: ['commits'] }] },
    { code: 'no_progress' },
  ],
  [
    'a lane whose tasks are delivered again and again',
    { faults: [{ ...FAULT, kind: 'progress', class: 'redelivered', message: '', sources: ['http_request'] }] },
    { code: 'no_progress', message: expect.stringContaining('again and again') },
  ],
  [
    'a job with others before it',
    {},
    { code: 'lane_busy', data: { lane: 'http_request', ahead: 7, workers: 1, depth: 8, active: 2 } },
  ],
  [
    'a lane that somebody paused',
    { lanes: new Map([['http_request', { ...LANE, paused: { by: 'anna', reason: 'too hot', since: NOW - 5_000 } }]]) },
    { code: 'lane_paused', since: NOW - 5_000, data: expect.objectContaining({ by: 'anna', reason: 'too hot' }) },
  ],
  [
    'a lane that no worker serves',
    { workers: [{ ...WORKER, lanes: ['wait'] }] },
    { code: 'lane_without_worker', data: expect.objectContaining({ lane: 'http_request', workers: 0 }) },
  ],
  ['no worker at all', { workers: [DEAD] }, { code: 'no_worker', since: DEAD.seenAt }],
  ['a queue that does not answer', { queueReachable: false, jobs: new Map() }, { code: 'queue_unreachable' }],
  [
    'a queue whose tables somebody has locked',
    { queueReachable: false, jobs: new Map(), blocked: { sessions: 2, longestMs: 4_000, by: ['backup (pid 7)'] } },
    { code: 'database_blocked', data: { waiting_sessions: 2, held_by: ['backup (pid 7)'] } },
  ],
  [
    'a queue that does not answer while a task sleeps until a time',
    { queueReachable: false, jobs: new Map(), tasks: row({ wakeAt: NOW + 5_000 }) },
    { code: 'queue_unreachable' },
  ],
  [
    'a lost job',
    { jobs: job({ state: 'missing' }) },
    { code: 'jobs_missing', until: RUN.checkAt, data: { action_id: 'a', job_state: 'missing', reconciler_runs: true } },
  ],
  [
    'a lost job that nobody looks for',
    { jobs: job({ state: 'missing' }), workers: [DEAD] },
    { code: 'jobs_missing', until: undefined, data: expect.objectContaining({ reconciler_runs: false }) },
  ],
  [
    'a job that ended without an outcome',
    { jobs: job({ state: 'failed' }) },
    { code: 'jobs_missing', data: expect.objectContaining({ job_state: 'failed' }) },
  ],
  [
    'a lost job of a task that sleeps',
    { jobs: job({ state: 'missing' }), tasks: row({ wakeAt: NOW + 9_000 }) },
    { code: 'jobs_missing' },
  ],
  ['a gate that was left', { jobs: job({ state: 'waiting-children' }) }, { code: 'held_in_queue', until: RUN.checkAt }],
  [
    'delay_seconds',
    { actions: [{ ...ACTION, delayMs: 90_000 }], jobs: job({ state: 'delayed', delayMs: 90_000 }) },
    { code: 'delay', until: NOW + 30_000 },
  ],
  [
    'workers of another version',
    { workers: [{ ...WORKER, version: '0' }], jobs: job({ state: 'delayed', delayMs: 5_000 }) },
    { code: 'worker_too_old', data: { worker_versions: ['0'], version: '1' } },
  ],
  ['a job that was put off for a moment', { jobs: job({ state: 'delayed', delayMs: 1_000 }) }, { code: 'woken' }],
  ['a job that a worker has just taken', { jobs: job({ state: 'active', lockLeftMs: 9_000 }) }, { code: 'starting' }],
  [
    'an outcome that waits for a lock',
    {
      jobs: job({ state: 'active', lockLeftMs: 9_000 }),
      blocked: { sessions: 2, longestMs: 4_000, by: ['psql (pid 7)'] },
    },
    { code: 'database_blocked', since: NOW - 4_000, data: { waiting_sessions: 2, held_by: ['psql (pid 7)'] } },
  ],
  ...['55P03', '57014', 'no_answer'].map((of): [string, Partial<RunFacts>, Partial<Cause>] => [
    `statements of every task that end with ${of} while workers wait for a lock`,
    {
      tasks: undefined,
      faults: [{ ...FAULT, kind: 'statement', class: of, sources: ['look-up'] }],
      blocked: { sessions: 2, longestMs: 4_000, by: ['psql (pid 7)'] },
    },
    { code: 'database_blocked', since: NOW - 4_000, data: { waiting_sessions: 2, held_by: ['psql (pid 7)'] } },
  ]),
  [
    'statements of every task that are not answered in time, where nobody is seen to wait for a lock',
    { faults: [{ ...FAULT, kind: 'statement', class: '55P03', sources: ['look-up'] }] },
    { code: 'statements_failing' },
  ],
  [
    'a database on which nothing can be committed, and on which somebody waits for a lock',
    { faults: [FAULT], blocked: { sessions: 2, longestMs: 4_000, by: ['psql (pid 7)'] } },
    { code: 'database_not_usable' },
  ],
  [
    'deliveries of its lane that end for want of a lock',
    {
      faults: [{ ...FAULT, kind: 'delivery', class: '55P03', lanes: ['http_request'] }],
      blocked: { sessions: 2, longestMs: 4_000, by: ['psql (pid 7)'] },
    },
    { code: 'database_blocked' },
  ],
  [
    'a table that cannot be read',
    { tasks: undefined, blocked: { sessions: 1, longestMs: 2_000, by: [] } },
    { code: 'database_blocked' },
  ],
  [
    'a running task',
    { tasks: row({ status: 'running' }), jobs: job({ state: 'active', lockLeftMs: 9_000 }) },
    {
      code: 'running',
      since: NOW - 30_000,
      until: NOW + 270_000,
      data: expect.objectContaining({ worker: 'w-1', attempt: 1 }),
    },
  ],
  [
    'a running task that said something',
    {
      tasks: row({ status: 'running', progress: { percent: 40, message: 'page 4', at: NOW - 500 } }),
      jobs: job({ state: 'active', lockLeftMs: 9_000 }),
    },
    {
      code: 'running',
      times: { last_progress_at: NOW - 500 },
      data: expect.objectContaining({ progress: { percent: 40, message: 'page 4' } }),
    },
  ],
  [
    'a running task whose job is gone while its worker lives',
    { tasks: row({ status: 'running' }), jobs: job({ state: 'missing' }) },
    { code: 'running' },
  ],
  [
    'a running task whose job and worker are gone',
    { tasks: row({ status: 'running' }), jobs: job({ state: 'missing' }), workers: [] },
    { code: 'jobs_missing' },
  ],
  [
    'a task beyond its time',
    {
      actions: [{ ...ACTION, timeoutMs: 10_000 }],
      tasks: row({ status: 'running' }),
      jobs: job({ state: 'active', lockLeftMs: 9_000 }),
    },
    { code: 'over_timeout', data: expect.objectContaining({ worker: 'w-1', timeout_seconds: 10 }) },
  ],
  [
    'a worker whose lock has run out',
    { tasks: row({ status: 'running' }), jobs: job({ state: 'active', lockLeftMs: null }) },
    { code: 'worker_lost', until: undefined, data: { worker: 'w-1', other_workers: 0 } },
  ],
  [
    'a worker that could not renew its lock, for the queue is full',
    {
      queueUse: { usedBytes: 99, maxBytes: 100 },
      queueFull: true,
      tasks: row({ status: 'running' }),
      jobs: job({ state: 'active', lockLeftMs: null }),
    },
    { code: 'queue_full', data: { memory_use: 0.99, used_bytes: 99, max_bytes: 100 } },
  ],
  [
    'a worker that could not renew its lock, for the queue takes no writes',
    { queueRejects: 'MISCONF', tasks: row({ status: 'running' }), jobs: job({ state: 'active', lockLeftMs: null }) },
    { code: 'queue_not_writable', data: { rejected_with: 'MISCONF' } },
  ],
  [
    'a silent worker whose lock still holds',
    {
      workers: [DEAD, { ...WORKER, id: 'w-2' }],
      tasks: row({ status: 'running' }),
      jobs: job({ state: 'active', lockLeftMs: 4_000 }),
    },
    { code: 'worker_lost', until: NOW + 4_000, data: { worker: 'w-1', other_workers: 1 } },
  ],
  [
    'a worker that was lost before it could say that it had begun',
    { jobs: job({ state: 'active', lockLeftMs: null }) },
    { code: 'worker_lost', data: expect.objectContaining({ worker: null }) },
  ],
  [
    'a task that may be poison',
    { tasks: row({ status: 'running', deliveries: 4 }), jobs: job({ state: 'active', lockLeftMs: 9_000 }) },
    { code: 'suspected_poison', data: { deliveries: 4, max_deliveries: 10, isolated: true, worker: 'w-1' } },
  ],
  [
    'a retry',
    {
      tasks: row({ status: 'retrying', attempts: 2, error: { code: 'upstream_error', message: '503' } }),
      jobs: job({ state: 'delayed', delayMs: 72_000 }),
    },
    {
      code: 'retrying',
      until: NOW + 42_000,
      message: 'Attempt 2 of 5 failed (upstream_error: 503); the next one comes in 42 s.',
      data: { attempt: 2, next_attempt: 3, max_attempts: 5, error: { code: 'upstream_error', message: '503' } },
    },
  ],
  ['a retry that is due and waits for a worker', { tasks: row({ status: 'retrying' }) }, { code: 'lane_busy' }],
  [
    'an open circuit that fails attempts',
    {
      actions: [call],
      circuits,
      tasks: row({ status: 'retrying', error: { code: 'circuit_open', message: 'open' } }),
      jobs: job({ state: 'delayed', delayMs: 60_000 }),
    },
    {
      code: 'circuit_open',
      since: NOW - 10_000,
      until: NOW + 30_000,
      data: expect.objectContaining({ service: 'billing', policy: 'fail', instance_id: 'i-1' }),
    },
  ],
  [
    'an open circuit that is waited for',
    { actions: [call], circuits, tasks: row({ wakeAt: NOW + 8_000 }), jobs: job({ state: 'delayed' }) },
    { code: 'circuit_open', until: NOW + 8_000, data: expect.objectContaining({ policy: 'wait' }) },
  ],
  [
    'a busy service',
    { actions: [call], tasks: row({ wakeAt: NOW + 800 }), jobs: job({ state: 'delayed' }) },
    { code: 'service_busy', data: { service: 'billing' } },
  ],
  [
    'a turn at a service',
    {
      actions: [call],
      rateSlots: new Map([['a', NOW + 5_000]]),
      tasks: row({ wakeAt: NOW + 5_000 }),
      jobs: job({ state: 'delayed' }),
    },
    { code: 'service_turn', until: NOW + 5_000, data: { service: 'billing' } },
  ],
  [
    'an approval',
    {
      tasks: row({}),
      jobs: job({ state: 'delayed' }),
      waits: new Map([
        ['a', { kind: 'approval', message: 'Pay 7 €?', approvers: ['anna'], deadline: null, escalated: false }],
      ]),
      waitsSince: new Map([['a', NOW - 60_000]]),
    },
    {
      code: 'approval',
      since: NOW - 60_000,
      message: "It waits for an approval by 'anna', for 60 s: Pay 7 €?.",
      data: expect.objectContaining({ approvers: ['anna'], asked: 'Pay 7 €?' }),
    },
  ],
  [
    'an approval by anybody, whatever the queue has lost',
    {
      tasks: row({}),
      jobs: job({ state: 'missing' }),
      waits: new Map([['a', { kind: 'approval', message: null, approvers: [], deadline: null, escalated: false }]]),
    },
    { code: 'approval' },
  ],
  [
    'a signal',
    {
      tasks: row({}),
      jobs: job({ state: 'delayed' }),
      waits: new Map([['a', { kind: 'signal', name: 'paid', deadline: null }]]),
    },
    { code: 'signal', data: { signal: 'paid', deadline: null } },
  ],
  [
    'a timer',
    { tasks: row({ wakeAt: NOW + 7_000 }), jobs: job({ state: 'delayed' }) },
    { code: 'timer', until: NOW + 7_000 },
  ],
  ['a sleep that is over', { tasks: row({ wakeAt: NOW - 1 }), jobs: job({ state: 'delayed' }) }, { code: 'woken' }],
  ['a sleep that is over, in a busy lane', { tasks: row({ wakeAt: NOW - 1 }) }, { code: 'lane_busy' }],
  [
    'an external task that nobody takes',
    { tasks: row({}), jobs: job({ state: 'delayed' }), externals: new Map([['a', external]]) },
    { code: 'external_no_worker', since: NOW - 12_000, data: { topic: 'resize', deliveries: 0, leased_of_topic: 3 } },
  ],
  [
    'a task whose message waits in the outbox',
    { tasks: row({}), jobs: job({ state: 'delayed' }), ...ofMessage({ publishedAt: undefined }) },
    { code: 'outbox_waiting', since: NOW - 30_000, data: expect.objectContaining({ topic: 'task_queue', attempt: 1 }) },
  ],
  [
    'a published task that nobody has answered',
    { tasks: row({}), jobs: job({ state: 'delayed' }), ...ofMessage({}) },
    { code: 'task_queue_no_answer', since: NOW - 20_000, times: { deadline: NOW + 60_000 } },
  ],
  [
    'a published task while the broker is away',
    { tasks: row({}), jobs: job({ state: 'delayed' }), ...ofMessage({}, { isReachable: false }) },
    { code: 'kafka_unreachable', data: expect.objectContaining({ is_published: true }) },
  ],
  [
    'an external task in the hands of a worker',
    {
      tasks: row({}),
      jobs: job({ state: 'delayed' }),
      externals: new Map([
        ['a', { ...external, status: 'leased', workerId: 'py-1', leaseUntil: NOW + 20_000, deliveries: 1 }],
      ]),
    },
    { code: 'external_leased', until: NOW + 20_000, data: expect.objectContaining({ worker_id: 'py-1' }) },
  ],
  [
    'an external task whose lease has run out',
    {
      tasks: row({}),
      jobs: job({ state: 'delayed' }),
      externals: new Map([['a', { ...external, status: 'leased', workerId: 'py-1', leaseUntil: NOW - 1 }]]),
    },
    { code: 'external_no_worker' },
  ],
  [
    'a child',
    {
      tasks: row({}),
      jobs: job({ state: 'delayed' }),
      children: new Map([['a', { runId: 'run-2', status: 'running', createdAt: NOW - 9_000, why: child }]]),
    },
    {
      code: 'child_run',
      data: { execution_id: 'run-2', child_status: 'running' },
      child: expect.objectContaining({ root: expect.objectContaining({ code: 'worker_lost' }) }),
    },
  ],
  [
    'parts',
    {
      actions: [{ ...ACTION, hasParts: true }],
      tasks: row({}),
      jobs: job({ state: 'delayed' }),
      parts: new Map([['a', { total: 9, open: 4 }]]),
    },
    { code: 'parts', data: expect.objectContaining({ total: 9, open: 4 }) },
  ],
  [
    'a pause',
    {
      run: {
        ...RUN,
        status: 'paused',
        workflowStatus: 'paused',
        paused: { at: NOW - 3_000, by: 'anna', reason: 'audit' },
      },
    },
    { code: 'run_paused', since: NOW - 3_000, data: { by: 'anna', reason: 'audit', workflow_status: 'paused' } },
  ],
  [
    'a pause of the execution above it',
    {
      run: {
        ...RUN,
        status: 'paused',
        paused: { at: NOW - 3_000, by: 'anna', reason: undefined },
        pausedWith: 'run-above',
      },
    },
    {
      code: 'run_paused',
      message: 'It is paused with the execution run-above, which waits for it, by anna, for 3 s.',
      todo: 'Resume that one: POST /workflows/executions/run-above/resume.',
      data: { by: 'anna', reason: null, workflow_status: 'active', paused_with: 'run-above' },
    },
  ],
  [
    'a delay of the whole run',
    { ...pending, run: { ...RUN, status: 'pending', dueAt: NOW + 9_000 } },
    { code: 'run_delayed', until: NOW + 9_000 },
  ],
  [
    'a place in its group',
    { ...pending, group: { key: 'k', limit: 1, holders: ['run-0'], behind: 2 } },
    { code: 'concurrency', data: { key: 'k', limit: 1, holders: ['run-0'], ahead: 2 } },
  ],
  [
    'a full window',
    { ...pending, window: { used: 5, size: 5, ahead: 12, ofTenant: 3 } },
    { code: 'admission_window', data: { window: 5, in_queue: 5, of_tenant: 3, ahead: 12 } },
  ],
  [
    'a window with room',
    { ...pending, window: { used: 4, size: 5, ahead: 0, ofTenant: 3 } },
    { code: 'not_dispatched' },
  ],
  [
    'a pending run that is in the queue',
    { run: pending.run, window: { used: 5, size: 5, ahead: 0, ofTenant: 3 } },
    { code: 'lane_busy' },
  ],
  ['a pending run without workers', { ...pending, workers: [] }, { code: 'no_worker' }],
  [
    'a pending run and a queue that is away',
    { ...pending, jobs: new Map(), queueReachable: false },
    { code: 'queue_unreachable' },
  ],
  [
    'a pending run and a queue that is a replica',
    { ...pending, queueRejects: 'READONLY' },
    { code: 'queue_not_writable', data: { rejected_with: 'READONLY' } },
  ],
  [
    'a pending run and a full queue',
    { ...pending, queueUse: { usedBytes: 95, maxBytes: 100 }, queueFull: true },
    { code: 'queue_full', data: { memory_use: 0.95, used_bytes: 95, max_bytes: 100 } },
  ],
  [
    'a pending run and a sweep that stands',
    { ...pending, lastPass: { at: NOW - 31_000, worker: 'w-1' } },
    { code: 'sweep_stopped', since: NOW - 31_000 },
  ],
  [
    'a cancellation',
    {
      run: {
        ...RUN,
        status: 'cancelling',
        cancelReason: 'no more',
        cancelling: { at: NOW - 1_000, by: 'anna', reason: 'no more' },
      },
      tasks: row({ status: 'running' }),
      jobs: job({ state: 'active', lockLeftMs: 9_000 }),
    },
    { code: 'cancelling', since: NOW - 1_000, data: { by: 'anna', reason: 'no more', waits_for: ['a'] } },
  ],
  [
    'a cancellation with a lost worker',
    {
      run: { ...RUN, status: 'cancelling' },
      tasks: row({ status: 'running' }),
      jobs: job({ state: 'active', lockLeftMs: null }),
    },
    { code: 'worker_lost' },
  ],
  [
    'a compensation',
    {
      run: { ...RUN, status: 'compensating' },
      tasks: row({ status: 'completed', final: true }),
      jobs: new Map(),
      finalizer: { state: 'delayed' },
      parts: new Map([['~saga', { total: 3, open: 2 }]]),
    },
    { code: 'compensating', data: { done: 1, total: 3, error: null } },
  ],
  [
    'an end that is due',
    { tasks: row({ status: 'completed', final: true }), jobs: new Map(), finalizer: { state: 'active' } },
    { code: 'ending' },
  ],
  [
    'an end that the queue has lost',
    { tasks: row({ status: 'completed', final: true }), jobs: new Map(), finalizer: { state: 'missing' } },
    { code: 'jobs_missing', data: expect.objectContaining({ action_id: '~end' }) },
  ],
  [
    'an end that nobody serves',
    {
      tasks: row({ status: 'completed', final: true }),
      jobs: new Map(),
      finalizer: { state: 'waiting', ahead: 0 },
      workers: [{ ...WORKER, lanes: ['wait'] }],
    },
    { code: 'lane_without_worker', data: expect.objectContaining({ lane: 'runs' }) },
  ],
];

describe('the cause of a run that is not finished', () => {
  test.each(ROOTS)('%s is found', (_, more, expected) => {
    expect(rootOf(more)).toMatchObject(expected);
  });

  test('what is broken comes before what waits as configured, in the list and as the root', () => {
    const actions = ['sleeps', 'lost', 'asks'].map((actionId) => ({ ...ACTION, actionId }));
    const found = explain(
      facts({
        actions: [...actions, { ...ACTION, actionId: 'after', dependsOn: ['sleeps', 'asks'] }],
        tasks: new Map([
          ['sleeps', { ...TASK, wakeAt: NOW + 1_000 }],
          ['asks', TASK],
        ]),
        jobs: new Map<string, JobFact>([
          ['sleeps', { state: 'delayed' }],
          ['asks', { state: 'delayed' }],
          ['lost', { state: 'missing' }],
        ]),
        waits: new Map([['asks', { kind: 'signal', name: 's', deadline: null }]]),
      }),
    );
    expect(found.tasks.map(({ actionId, cause }) => [actionId, cause.code])).toEqual([
      ['lost', 'jobs_missing'],
      ['asks', 'signal'],
      ['sleeps', 'timer'],
      ['after', 'dependencies'],
    ]);
    expect(found.root.code).toBe('jobs_missing');
    expect(found.summary).toMatch(/^The execution is running\. Action 'lost': The job of 'lost' is not in the queue/);
  });

  test('a task far down names the first open ones above it, and no more tasks are listed than can be read', () => {
    const chain = Array.from({ length: 60 }, (_, n) => ({
      ...ACTION,
      actionId: `t${n}`,
      dependsOn: n === 0 ? [] : [`t${n - 1}`],
    }));
    const found = explain(facts({ actions: chain, jobs: new Map([['t0', { state: 'waiting', ahead: 0 }]]) }));
    expect(found.tasks).toHaveLength(20);
    expect(found.more).toBe(40);
    expect(found.tasks[0]).toMatchObject({ actionId: 't0', cause: { code: 'lane_busy' } });
    expect(found.tasks[19]?.cause).toMatchObject({ code: 'dependencies', data: { waits_for: ['t0'] } });
  });

  test('an approval whose job is lost says both, and whoever may decide comes first', () => {
    const waits = new Map([['a', { kind: 'signal' as const, name: 's', deadline: null }]]);
    const [task] = explain(facts({ tasks: row({}), jobs: job({ state: 'missing' }), waits })).tasks;
    expect(task?.cause.code).toBe('signal');
    expect(task?.also.map(({ code }) => code)).toEqual(['jobs_missing']);
  });
});

const FAILED: Partial<TaskFact> = {
  ...{ status: 'failed', final: true, attempts: 5, finishedAt: NOW - 1_000 },
  error: { code: 'upstream_error', message: '503' },
};
const ended = (status: string, more: Partial<RunFact> = {}): RunFact => ({
  ...{ ...RUN, status, final: true, finishedAt: NOW - 500 },
  ...more,
});
const ENDS: Array<[string, Partial<RunFacts>, Partial<Cause>]> = [
  ['completed', { run: ended('completed') }, { code: 'completed', since: NOW - 500 }],
  [
    'failed',
    { run: ended('failed'), tasks: row(FAILED) },
    {
      code: 'task_failed',
      data: {
        action_id: 'a',
        attempts: 5,
        worker: 'w-1',
        error: { code: 'upstream_error', message: '503' },
        dead_letter: 'run-1/a',
      },
    },
  ],
  ['failed for no action', { run: ended('failed'), tasks: row({ ...FAILED, tolerated: true }) }, { code: 'failed' }],
  [
    'cancelled',
    { run: ended('cancelled', { cancelReason: 'no', cancelling: { at: NOW, by: 'anna', reason: 'no' } }) },
    { code: 'cancelled', data: { by: 'anna', reason: 'no' }, message: 'It was cancelled by anna: no.' },
  ],
  [
    'timed_out',
    { run: ended('timed_out', { deadlineAt: NOW - 600 }) },
    { code: 'timed_out', times: { deadline: NOW - 600 } },
  ],
  [
    'compensated',
    { run: ended('compensated'), tasks: row(FAILED) },
    { code: 'compensated', data: expect.objectContaining({ action_id: 'a' }) },
  ],
  ['compensation_failed', { run: ended('compensation_failed') }, { code: 'compensation_failed' }],
];
test.each(ENDS)('of a run that has ended as %s it says why', (_, more, expected) => {
  const found = explain(facts(more));
  expect(found).toMatchObject({ finished: true, tasks: [], more: 0 });
  expect(found.root).toMatchObject(expected);
});

test('of several failures the first one counts', () => {
  const tasks = new Map([
    ['b', { ...TASK, ...FAILED, finishedAt: NOW - 10 }],
    ['a', { ...TASK, ...FAILED, finishedAt: NOW - 20 }],
  ]);
  expect(rootOf({ run: ended('failed'), tasks }).data).toMatchObject({ action_id: 'a' });
});

const SYSTEM: SystemFacts = {
  ...base,
  stuck: 0,
  skewMs: 0,
  isolationGap: undefined,
  lanes: new Map([['http_request', LANE]]),
};
const SYSTEMS: Array<[Partial<SystemFacts> | undefined, string[]]> = [
  [{}, []],
  [undefined, ['database_unreachable']],
  [{ blocked: { sessions: 1, longestMs: 5_000, by: ['psql'] } }, ['database_blocked']],
  [{ queueReachable: false }, ['queue_unreachable']],
  [{ queueFull: true, queueUse: { usedBytes: 93, maxBytes: 100 } }, ['queue_full']],
  [{ faults: [FAULT] }, ['database_not_usable']],
  [{ queueRejects: 'MISCONF' }, ['queue_not_writable']],
  [{ queueReachable: false, queueRejects: 'MISCONF' }, ['queue_unreachable']],
  [{ workers: [] }, ['no_worker']],
  [{ workers: [DEAD] }, ['no_worker', 'worker_silent']],
  [{ workers: [WORKER, { ...DEAD, seenAt: NOW - 400_000 }] }, []],
  [{ lastPass: undefined }, ['sweep_stopped']],
  [{ workers: [{ ...WORKER, lanes: [] }] }, ['lane_without_worker']],
  [{ workers: [{ ...WORKER, lanes: [] }], lanes: new Map([['http_request', { ...LANE, depth: 0 }]]) }, []],
  [
    { lanes: new Map([['x', { lane: 'x', paused: { by: null, reason: null, since: NOW }, depth: 0, active: 0 }]]) },
    ['lane_paused'],
  ],
  [{ workers: [{ ...WORKER, version: '2' }] }, ['mixed_versions']],
  [{ stuck: 3, skewMs: -1_500 }, ['runs_stuck', 'clock_skew']],
  [{ skewMs: 1_000 }, []],
  [{ isolationGap: 'the role is missing' }, ['row_level_security_off']],
  [{ circuits }, ['circuit_open']],
];
test.each(SYSTEMS)('of the system, %j gives %j', (more, codes) => {
  const found = systemProblems(more === undefined ? undefined : { ...SYSTEM, ...more });
  expect(found.map(({ code }) => code)).toEqual(codes);
  for (const { todo } of found) expect(todo).not.toBe('');
});

test('a span is shown in the unit that fits', () => {
  expect([999, 119_000, 121_000, 3 * 3_600_000, 72 * 3_600_000].map(span)).toEqual([
    '1 s',
    '119 s',
    '2 min',
    '3 h',
    '3 d',
  ]);
});

test('docs/diagnosis.md explains every code, and no other', () => {
  const documented = [...readFileSync('docs/diagnosis.md', 'utf8').matchAll(/^\| `([a-z_]+)` \|/gm)].map(
    ([, code]) => code,
  );
  expect(new Set(documented)).toEqual(new Set([...CAUSE_CODES, ...PROBLEM_CODES]));
  expect(documented).toHaveLength(new Set(documented).size);
});

test('every cause that can be found is tried here', () => {
  const tried = new Set([...ROOTS, ...ENDS].map(([, more]) => rootOf(more).code));
  expect([...CAUSE_CODES].filter((code) => !tried.has(code))).toEqual(['dependencies']);
  expect(isBroken('over_timeout')).toBe(true);
  expect(isBroken('lane_paused')).toBe(false);
});
