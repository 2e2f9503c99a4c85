/** The store of sagas, in memory, over the same rows as all others. */
import { SAGA } from '../../src/domain/saga.ts';
import type { SagaStore } from '../../src/engine/compensate.ts';
import { type FakeTask, firstFailure, type Truth, taskKey, tasksOf } from './fake-fence.ts';

export function createFakeSagas(
  truth: Truth,
  newTask: (runId: string, actionId: string, actionType: string, epoch: number) => FakeTask,
): SagaStore {
  const live = ({ id, epoch }: { id: string; epoch: number }) => {
    const run = truth.runs.get(id);
    return run === undefined || run.final || run.epoch !== epoch ? undefined : run;
  };
  const tell = (runId: string, epoch: number, kind: string) =>
    truth.events.push({ runId, actionId: null, epoch, attempt: null, kind });
  return {
    async begin({ id, epoch }, undoings) {
      const run = live({ id, epoch });
      if (run === undefined || run.status === 'compensating') return;
      run.error = run.status === 'cancelling' ? null : (firstFailure(tasksOf(truth, id))?.error ?? null);
      run.status = 'compensating';
      tell(id, epoch, 'run.compensating');
      undoings.forEach(({ actionId, actionType }, position) => {
        truth.tasks.set(taskKey(id, actionId), {
          ...newTask(id, actionId, actionType, epoch),
          parentId: SAGA,
          position,
        });
      });
    },
    async release(runId, actionIds) {
      for (const actionId of actionIds) {
        const task = truth.tasks.get(taskKey(runId, actionId));
        if (task !== undefined && !task.final) truth.tasks.set(taskKey(runId, actionId), { ...task, released: true });
      }
    },
    async end({ id, epoch }) {
      const run = live({ id, epoch });
      const undoings = tasksOf(truth, id).filter(({ parentId }) => parentId === SAGA);
      if (run?.status !== 'compensating' || !undoings.every(({ final }) => final)) return;
      run.final = true;
      run.status = undoings.every(({ status }) => status === 'completed') ? 'compensated' : 'compensation_failed';
      tell(id, epoch, `run.${run.status}`);
    },
    async reopen({ id, epoch }) {
      const run = truth.runs.get(id);
      if (run === undefined || run.epoch !== epoch || run.status !== 'compensation_failed') return undefined;
      Object.assign(run, { epoch: epoch + 1, gen: 0, final: false, status: 'compensating' });
      for (const task of tasksOf(truth, id)) {
        if (task.parentId !== SAGA || task.status === 'completed') continue;
        const { runId, actionId, actionType, parentId, position } = task;
        const fresh = { ...newTask(runId, actionId, actionType, epoch + 1), parentId, position };
        truth.tasks.set(taskKey(runId, actionId), fresh);
      }
      return { run: { ...run }, undoings: 1 };
    },
  };
}
