/** The stores behind the control of runs, over the same rows as the other fakes. */
import type { PauseStore } from '../../../src/engine/control/pause-run.ts';
import type { ManualEnds } from '../../../src/features/manual-completion/complete-manually.ts';
import { type FakeRun, tasksOf } from './fence.ts';
import type { FakeStore } from './store.ts';

export function createFakeControl(store: FakeStore): { pauses: PauseStore; byHand: ManualEnds } {
  const { truth } = store;
  const note = (run: FakeRun, kind: string) =>
    truth.events.push({ runId: run.id, actionId: null, epoch: run.epoch, attempt: null, kind });
  const pauses: PauseStore = {
    async pause({ runId, tenantId }) {
      const run = truth.runs.get(runId);
      if (run === undefined || run.tenantId !== tenantId) return undefined;
      const was = run.status;
      const changed = !run.final && ['pending', 'queued', 'running'].includes(was);
      if (changed) {
        run.status = 'paused';
        note(run, 'run.paused');
      }
      return { was, changed };
    },
    async resume({ runId, tenantId }) {
      const run = truth.runs.get(runId);
      if (run === undefined || run.tenantId !== tenantId) return undefined;
      const was = run.status;
      if (was !== 'paused') return { was, changed: false, status: was, goOn: [] };
      const started = tasksOf(truth, runId).some(({ epoch, status }) => epoch === run.epoch && status !== 'pending');
      run.status = started ? 'running' : 'pending';
      note(run, 'run.resumed');
      store.due.add(runId);
      return { was, changed: true, status: run.status, goOn: [runId] };
    },
    async pauseAll({ runIds, ...of }, reason) {
      const changed: string[] = [];
      for (const runId of runIds)
        if ((await pauses.pause({ ...of, runId }, reason))?.changed === true) changed.push(runId);
      return { changed, left: [] };
    },
    async resumeAll({ runIds, ...of }, reason) {
      const changed: string[] = [];
      for (const runId of runIds)
        if ((await pauses.resume({ ...of, runId }, reason))?.changed === true) changed.push(runId);
      return { changed, left: [], goOn: changed };
    },
  };
  return {
    pauses,
    byHand: {
      async settle(outcome) {
        const { runId, epoch, actionId, actionType, worker } = outcome;
        const token = await store.tasks.claim({ runId, epoch, actionId, actionType, worker });
        if (token === undefined) return undefined;
        const attempt = (store.task(runId, actionId)?.endedAttempt ?? 0) + 1;
        const result = await store.tasks.commit({ ...outcome, fence: token.fence, attempt });
        store.due.add(runId);
        return result === 'accepted' ? [] : undefined;
      },
    },
  };
}
