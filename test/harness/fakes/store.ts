/** The engine's ports on PostgreSQL, in memory: each call is one statement over `Truth`, with the rules of the fence. */

import type { SagaStore } from '../../../src/engine/deliver/compensate.ts';
import type { PartStore } from '../../../src/engine/ports/parts.ts';
import type { ReconcileStore } from '../../../src/engine/ports/reconcile.ts';
import type { Lookup, RunRow, TaskRow } from '../../../src/engine/ports/rows.ts';
import type { RetryStore, RunStore, StoredRun } from '../../../src/engine/ports/runs.ts';
import type { TaskStore } from '../../../src/engine/ports/tasks.ts';
import type { Json } from '../../../src/schemas/json.ts';
import {
  ALL_RULES,
  beginRun,
  cancelledAs,
  commitBatch,
  emptyTruth,
  endRun,
  type FakeRun,
  type FakeTask,
  type FenceRules,
  firstFailure,
  rowOf,
  type Truth,
  taskKey,
  tasksOf,
} from './fence.ts';
import { createFakeParts } from './parts.ts';
import { createFakeSagas } from './sagas.ts';

export interface FakeStore {
  truth: Truth;
  tasks: TaskStore;
  parts: PartStore;
  sagas: SagaStore;
  runs: RunStore;
  reconcile: ReconcileStore;
  retries: RetryStore;
  /** Runs that are due for a check; whoever takes them sets the next time. */
  due: Set<string>;
  /** Runs whose deadline has passed. */
  overdue: Set<string>;
  /** As a run is accepted, for a test that starts with it. */
  insert(run: Pick<RunRow, 'id' | 'of'> & Partial<RunRow>): FakeRun;
  task(runId: string, actionId: string): FakeTask | undefined;
}

/** `now`: in milliseconds, for what is decided by how long ago something was. */
export function createFakeStore(rules: FenceRules = ALL_RULES, now: () => number = () => 0): FakeStore {
  const truth = emptyTruth();
  const due = new Set<string>();
  const overdue = new Set<string>();
  const cancelledAt = new Map<string, number>();
  const live = (runId: string, epoch: number) => {
    const run = truth.runs.get(runId);
    return run !== undefined && run.epoch === epoch && !run.final ? run : undefined;
  };
  const event = (run: FakeRun, kind: string) =>
    truth.events.push({ runId: run.id, actionId: null, epoch: run.epoch, attempt: null, kind });
  const insert: FakeStore['insert'] = (values) => {
    const run: FakeRun = { ...NEW_RUN, ...values, output: null, error: null };
    truth.runs.set(run.id, run);
    return run;
  };
  const lookup = (runId: string, isRequested: (actionId: string) => boolean, outputsOf: readonly string[]): Lookup => {
    const run = truth.runs.get(runId);
    const rows = tasksOf(truth, runId).filter(({ actionId }) => isRequested(actionId));
    return {
      run: run === undefined ? undefined : rowOf(run),
      tasks: new Map(rows.map((task) => [task.actionId, toRow(task, outputsOf.includes(task.actionId))])),
    };
  };

  const makeDue = (run: FakeRun) => {
    if (sleeps(run)) run.sleepsUntil = now();
  };

  const tasks: TaskStore = {
    async lookup({ runId, actionIds, outputsOf }) {
      const requested = new Set([...actionIds, ...outputsOf]);
      return lookup(runId, (id) => requested.has(id), outputsOf);
    },
    async claim({ runId, epoch, actionId, actionType, worker }) {
      if (live(runId, epoch) === undefined) return undefined;
      const key = taskKey(runId, actionId);
      const task = truth.tasks.get(key);
      if (task === undefined) {
        truth.tasks.set(key, { ...newTask(runId, actionId, actionType, epoch), ...CLAIMED, worker });
        return { fence: 2, deliveries: 2 };
      }
      if (task.epoch !== epoch || task.final) return undefined;
      const fence = task.fence + 1;
      const deliveries = task.deliveries + 1;
      const status = task.status === 'waiting' ? 'waiting' : 'running';
      truth.tasks.set(key, { ...task, fence, deliveries, status, worker, nextDelivery: null });
      return { fence, deliveries };
    },
    async announce({ runId, epoch, actionId, fence, nextDelivery }) {
      const task = truth.tasks.get(taskKey(runId, actionId));
      if (task === undefined || task.epoch !== epoch || task.final || task.fence !== fence) return;
      truth.tasks.set(taskKey(runId, actionId), { ...task, nextDelivery });
    },
    async commit(outcome) {
      return commitBatch(truth, [outcome], rules)[0] ?? 'rejected';
    },
    async markRunning({ runId, epoch, actionId, actionType, attempt, fence, worker, input }) {
      const run = live(runId, epoch);
      if (run === undefined) return;
      const key = taskKey(runId, actionId);
      const task = truth.tasks.get(key);
      if (task === undefined) {
        const fresh = newTask(runId, actionId, actionType, epoch);
        truth.tasks.set(key, { ...fresh, attempt, endedAttempt: attempt - 1, fence, status: 'running', worker, input });
      } else {
        if (task.epoch !== epoch || task.final || attempt <= task.endedAttempt || task.fence !== fence) return;
        const highest = Math.max(task.attempt, attempt);
        const shown = { status: 'running' as const, attempt: highest, worker, nextDelivery: null };
        truth.tasks.set(key, { ...task, ...shown, input: input ?? task.input });
      }
      beginRun(run);
    },
    async wake(runId, woken) {
      const run = truth.runs.get(runId);
      if (run === undefined || run.final) return;
      for (const { actionId, actionType } of woken) {
        const key = taskKey(runId, actionId);
        const task = truth.tasks.get(key) ?? newTask(runId, actionId, actionType, run.epoch);
        if (task.final) continue;
        truth.tasks.set(key, { ...task, wakes: task.wakes + 1 });
        makeDue(run);
      }
    },
    async recordLateEffect(outcome, isCompensated) {
      const task = truth.tasks.get(taskKey(outcome.runId, outcome.actionId));
      const isOpen = task !== undefined && task.epoch === outcome.epoch && task.status !== 'completed';
      if (isOpen) truth.tasks.set(taskKey(outcome.runId, outcome.actionId), { ...task, effectUnknown: true });
      truth.lateEffects.push({ ...outcome, compensation: isCompensated && isOpen ? 'due' : null });
    },
  };

  const runs: RunStore = {
    async accept(run): Promise<StoredRun> {
      const { id, of, requestHash = null } = run;
      const { tenantId, userId, parameters, priority, correlationId = null, traceId } = run;
      insert({ id, of, tenantId, userId, parameters, priority, correlationId, traceId });
      return { id, of, status: 'pending', createdAt: NEW_RUN.createdAt, requestHash, inserted: true };
    },
    async markQueued(runId, epoch = 1) {
      const run = live(runId, epoch);
      if (run?.status === 'pending') run.status = 'queued';
    },
    async markQueuedAhead(runIds) {
      for (const id of runIds) await this.markQueued(id);
    },
    async countInQueue(limit) {
      return Math.min(limit, [...truth.runs.values()].filter(inQueue).length);
    },
    async windowUse() {
      const inQueueOf = new Map<string, number>();
      const live = [...truth.runs.values()].filter(inQueue);
      for (const { tenantId } of live) inQueueOf.set(tenantId, (inQueueOf.get(tenantId) ?? 0) + 1);
      const waiting = [...truth.runs.values()].filter(waits).map(({ tenantId }) => tenantId);
      return { inQueue: inQueueOf, total: live.length, waiting: [...new Set(waiting)] };
    },
    async finalize({ runId, epoch, actions, output }) {
      const all = tasksOf(truth, runId);
      if (all.filter(({ final }) => final).length < actions) return false;
      const run = live(runId, epoch);
      const failure = firstFailure(all);
      truth.statements += 1;
      if (run !== undefined) endRun(truth, run, failure !== undefined, output, failure?.error ?? null);
      return true;
    },
    async endAbnormally(runId, epoch, status, actions) {
      const run = live(runId, epoch);
      if (run === undefined) return false;
      truth.statements += 1;
      run.final = true;
      run.status = status === 'cancelled' ? cancelledAs(run) : status;
      for (const { actionId, actionType } of rules.tombstones ? actions : []) {
        const key = taskKey(runId, actionId);
        const task = truth.tasks.get(key) ?? newTask(runId, actionId, actionType, epoch);
        if (!task.final) truth.tasks.set(key, { ...task, status, final: true, finishedAt: truth.statements });
      }
      event(run, `run.${run.status}`);
      return true;
    },
    async requestCancel(tenantId, runId) {
      const run = truth.runs.get(runId);
      if (run === undefined || run.tenantId !== tenantId) return { found: false };
      const was = run.status;
      const changed = !run.final && was !== 'cancelling';
      if (changed) {
        run.status = 'cancelling';
        event(run, 'run.cancelling');
        cancelledAt.set(runId, now());
        due.add(runId);
      }
      return { found: true, was, changed, epoch: run.epoch, of: run.of };
    },
    async startedAmong(runIds) {
      return new Set(runIds.filter((id) => tasksOf(truth, id).length > 0));
    },
    async statuses(runId) {
      return lookup(runId, () => true, []);
    },
    async statusesOf(runIds) {
      const found = await Promise.all(runIds.map(async (id) => [id, await lookup(id, () => true, [])] as const));
      return new Map(found.filter(([, { run }]) => run !== undefined));
    },
    async outputs(runId, actionIds) {
      const found = tasksOf(truth, runId).filter(({ actionId }) => actionIds.includes(actionId));
      return new Map(found.map((task) => [task.actionId, parsed(task.output)]));
    },
    async checkNow(runId) {
      const run = truth.runs.get(runId);
      if (run === undefined || run.final) return;
      due.add(runId);
      makeDue(run);
    },
  };

  const isDue = ({ sleepsUntil }: FakeRun) => sleepsUntil !== undefined && sleepsUntil <= now();

  const reconcile: ReconcileStore = {
    exclusively: (work) => work(),
    giveSlots: async () => 0,
    releaseDue: async () => undefined,
    async takePending(grants) {
      const pending = [...truth.runs.values()].filter(waits);
      const taken = [...grants].flatMap(([tenantId, slots]) =>
        pending.filter((run) => run.tenantId === tenantId).slice(0, slots),
      );
      return taken.map((run) => {
        run.gen += 1;
        delete run.leftQueue;
        return rowOf(run);
      });
    },
    async takeToCheck(limit) {
      const taken = [...truth.runs.values()].filter((run) => due.has(run.id) && inQueue(run)).slice(0, limit);
      for (const { id } of taken) due.delete(id);
      return taken.map(rowOf);
    },
    async raiseGen(runId, epoch) {
      const run = live(runId, epoch);
      if (run === undefined) return undefined;
      run.gen += 1;
      delete run.leftQueue;
      return run.gen;
    },
    async fallAsleep(sleeps) {
      for (const { run: of, until, forRun } of sleeps) {
        const run = live(of.id, of.epoch);
        if (run === undefined || !['pending', 'queued', 'running'].includes(run.status)) continue;
        run.status = 'waiting';
        run.sleepsUntil = until?.getTime();
        if (forRun) delete run.asleep;
        else run.asleep = true;
        event(run, 'run.waiting');
      }
    },
    async rouse(runId) {
      const run = truth.runs.get(runId);
      if (run === undefined || run.final || run.status !== 'waiting') return;
      run.status = 'running';
      delete run.asleep;
      event(run, 'run.running');
    },
    async takeSleepers() {
      return [...truth.runs.values()].filter((run) => sleeps(run) && !run.leftQueue).map(rowOf);
    },
    async recheckAt(runId, _at, until) {
      const run = truth.runs.get(runId);
      if (run === undefined || !sleeps(run) || run.leftQueue || isDue(run)) return;
      run.sleepsUntil = until?.getTime();
    },
    async leaveQueue(leaving) {
      const left: string[] = [];
      for (const { run: of, until } of leaving) {
        const run = live(of.id, of.epoch);
        if (run === undefined || run.gen !== of.gen || !sleeps(run) || run.leftQueue || isDue(run)) continue;
        run.leftQueue = true;
        run.sleepsUntil = until?.getTime();
        left.push(run.id);
      }
      return left;
    },
    async takeDue(limit) {
      const taken = [...truth.runs.values()]
        .filter((run) => sleeps(run) && run.leftQueue && isDue(run))
        .slice(0, limit);
      return taken.map((run) => {
        delete run.asleep;
        delete run.leftQueue;
        run.status = 'running';
        run.gen += 1;
        event(run, 'run.running');
        return rowOf(run);
      });
    },
    async checkAllNow() {
      for (const run of truth.runs.values()) if (!run.final) due.add(run.id);
    },
    async checkAgain(runId) {
      if (truth.runs.get(runId)?.final === false) due.add(runId);
    },
    async takeOverdue(limit) {
      const taken = [...overdue].flatMap((id) => truth.runs.get(id) ?? []).slice(0, limit);
      overdue.clear();
      return taken.flatMap((run) => {
        if (run.final || run.status === 'cancelling') return [];
        const wasPending = run.status === 'pending';
        Object.assign(run, { status: 'cancelling', overdue: true });
        event(run, 'run.cancelling');
        cancelledAt.set(run.id, now());
        due.add(run.id);
        return [{ ...rowOf(run), wasPending }];
      });
    },
    cancellingForMs: async (runId) => now() - (cancelledAt.get(runId) ?? now()),
  };

  const retries: RetryStore = {
    async reopen({ runId, epoch, from, actionIds, rerunFrom }) {
      const run = truth.runs.get(runId);
      if (run === undefined || run.epoch !== epoch || !run.final || !from.includes(run.status)) return undefined;
      delete run.overdue;
      delete run.leftQueue;
      Object.assign(run, { epoch: epoch + 1, gen: 0, status: 'pending', final: false, output: null, error: null });
      event(run, rerunFrom === undefined ? 'run.retried' : 'run.rerun');
      for (const actionId of actionIds) {
        const key = taskKey(runId, actionId);
        const task = truth.tasks.get(key);
        if (task === undefined) continue;
        if (task.status === 'failed' && !task.tolerated)
          truth.events.push({ runId, actionId, epoch: run.epoch, attempt: null, kind: 'task.retried' });
        truth.tasks.set(key, newTask(runId, actionId, task.actionType, run.epoch));
      }
      return rowOf(run);
    },
  };

  return {
    truth,
    tasks,
    parts: createFakeParts(truth, newTask),
    sagas: createFakeSagas(truth, newTask),
    runs,
    reconcile,
    retries,
    due,
    overdue,
    insert,
    task: (runId, id) => truth.tasks.get(taskKey(runId, id)),
  };
}

const NEW_RUN = {
  tenantId: 't',
  userId: 'u',
  epoch: 1,
  gen: 0,
  status: 'pending',
  final: false,
  priority: 50,
  parameters: {},
  correlationId: null,
  traceId: null,
  createdAt: new Date(0),
  deadlineAt: null,
} as const;

const CLAIMED = { attempt: 1, fence: 2, deliveries: 2, status: 'running' } as const;

function newTask(runId: string, actionId: string, actionType: string, epoch: number): FakeTask {
  return {
    runId,
    actionId,
    actionType,
    epoch,
    attempt: 0,
    endedAttempt: 0,
    fence: 1,
    deliveries: 1,
    nextDelivery: null,
    status: 'pending',
    final: false,
    tolerated: false,
    effectUnknown: false,
    input: null,
    output: null,
    error: null,
    commitId: null,
    worker: null,
    wakeAt: null,
    notBefore: null,
    wakes: 0,
    wakesSeen: 0,
    parentId: null,
    position: null,
    item: null,
    released: false,
    finishedAt: null,
  };
}

function waits({ status, final }: FakeRun): boolean {
  return status === 'pending' && !final;
}

function inQueue({ status, final, asleep }: FakeRun): boolean {
  if (final) return false;
  if (status === 'waiting') return asleep !== true;
  return status === 'queued' || status === 'running' || status === 'cancelling';
}

function sleeps({ status, final, asleep }: FakeRun): boolean {
  return !final && status === 'waiting' && asleep === true;
}

function toRow(task: FakeTask, withOutput: boolean): TaskRow {
  const { actionId, status, final, tolerated, attempt, endedAttempt, fence, deliveries, nextDelivery } = task;
  const { wakeAt, notBefore, wakes, wakesSeen, parentId, released, item, epoch, effectUnknown } = task;
  const output = withOutput ? parsed(task.output) : null;
  const own = { actionId, tolerated, attempt, endedAttempt, fence, deliveries, nextDelivery };
  const rest = { epoch, effectUnknown, wakeAt, notBefore, wakes, wakesSeen, parentId, released, item };
  return { ...own, ...rest, status, final, output } as TaskRow; // As `rowOf`.
}

function parsed(text: string | null): Json {
  return text === null ? null : JSON.parse(text); // Text that was checked to be storable.
}
