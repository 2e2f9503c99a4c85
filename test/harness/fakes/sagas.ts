/** The store of sagas, in memory, over the same rows as all others. */
import { compensationId, SAGA } from '../../../src/domain/runs/saga.ts';
import type { SagaStore } from '../../../src/engine/deliver/compensate.ts';
import { type FakeTask, firstFailure, rowOf, type Truth, taskKey, tasksOf } from './fence.ts';

export function createFakeSagas(
  truth: Truth,
  newTask: (runId: string, actionId: string, actionType: string, epoch: number) => FakeTask,
): SagaStore {
  const live = ({ id, epoch }: { id: string; epoch: number }) => {
    const run = truth.runs.get(id);
    return run === undefined || run.final || run.epoch !== epoch ? undefined : run;
  };
  const emit = (runId: string, epoch: number, kind: string) =>
    truth.events.push({ runId, actionId: null, epoch, attempt: null, kind });
  const isDue = ({ compensation }: Truth['lateEffects'][number]) => compensation === 'due';
  const write: (runId: string, epoch: number, compensations: Parameters<SagaStore['start']>[1]) => void = (
    runId,
    epoch,
    undoings,
  ) => {
    undoings.forEach(({ actionId, actionType }, position) => {
      if (truth.tasks.has(taskKey(runId, actionId))) return;
      const fresh = { ...newTask(runId, actionId, actionType, epoch), parentId: SAGA, position };
      truth.tasks.set(taskKey(runId, actionId), fresh);
    });
  };
  const reset = (runId: string, epoch: number, again: readonly string[]) => {
    for (const task of tasksOf(truth, runId)) {
      const { actionId, actionType, parentId, position } = task;
      if (parentId !== SAGA || (task.status === 'completed' && !again.includes(actionId))) continue;
      truth.tasks.set(taskKey(runId, actionId), { ...newTask(runId, actionId, actionType, epoch), parentId, position });
    }
  };
  return {
    async start({ id, epoch }, compensations) {
      const run = live({ id, epoch });
      if (run === undefined || run.status === 'compensating') return;
      run.error = run.status === 'cancelling' ? null : (firstFailure(tasksOf(truth, id))?.error ?? null);
      run.status = 'compensating';
      emit(id, epoch, 'run.compensating');
      write(id, epoch, compensations);
    },
    async extend({ id, epoch }, compensations) {
      if (live({ id, epoch })?.status !== 'compensating') return;
      write(id, epoch, compensations);
    },
    async takeLate() {
      const due = new Set(truth.lateEffects.filter(isDue).map(({ runId }) => runId));
      return [...truth.runs.values()]
        .filter((run) => run.final && due.has(run.id))
        .map(({ id, epoch, of }) => ({ id, epoch, of }));
    },
    async reopenForLate({ id, epoch }, compensations) {
      const run = truth.runs.get(id);
      if (run === undefined || !run.final || run.epoch !== epoch) return false;
      const due = truth.lateEffects.filter((late) => late.runId === id && isDue(late));
      for (const late of due) {
        const task = truth.tasks.get(taskKey(id, late.actionId));
        const isOpen = task?.effectUnknown === true && task.epoch === late.epoch;
        late.compensation = run.status === 'completed' || !isOpen ? null : 'started';
      }
      const again = due
        .filter(({ compensation }) => compensation === 'started')
        .map(({ actionId }) => compensationId(actionId));
      if (again.length === 0) return false;
      Object.assign(run, { epoch: epoch + 1, gen: 0, final: false, status: 'compensating' });
      write(id, epoch + 1, compensations);
      reset(id, epoch + 1, again);
      emit(id, epoch + 1, 'run.compensating');
      return true;
    },
    // There is nobody outside.
    wasLeased: async () => false,
    async lateOutput(runId, actionId, epoch) {
      const late = truth.lateEffects.find(
        (one) => one.runId === runId && one.actionId === actionId && one.epoch === epoch,
      );
      return late === undefined ? undefined : { output: JSON.parse(late.output ?? 'null') };
    },
    async release(runId, actionIds) {
      for (const actionId of actionIds) {
        const task = truth.tasks.get(taskKey(runId, actionId));
        if (task !== undefined && !task.final) truth.tasks.set(taskKey(runId, actionId), { ...task, released: true });
      }
    },
    async end({ id, epoch }) {
      const run = live({ id, epoch });
      const compensations = tasksOf(truth, id).filter(({ parentId }) => parentId === SAGA);
      if (run?.status !== 'compensating' || !compensations.every(({ final }) => final)) return;
      run.final = true;
      run.status = compensations.every(({ status }) => status === 'completed') ? 'compensated' : 'compensation_failed';
      emit(id, epoch, `run.${run.status}`);
    },
    async reopen({ id, epoch }) {
      const run = truth.runs.get(id);
      if (run === undefined || run.epoch !== epoch || run.status !== 'compensation_failed') return undefined;
      Object.assign(run, { epoch: epoch + 1, gen: 0, final: false, status: 'compensating' });
      reset(id, epoch + 1, []);
      return { run: rowOf(run), compensations: 1 };
    },
  };
}
