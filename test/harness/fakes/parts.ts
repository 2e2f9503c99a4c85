/** The store of the parts of tasks, in memory, over the same rows as all others. */
import type { LastIteration, PartStore } from '../../../src/engine/ports/parts.ts';
import type { Json } from '../../../src/schemas/json.ts';
import { type FakeTask, type Truth, taskKey } from './fence.ts';

const parsed = (text: string | null): Json => (text === null ? null : JSON.parse(text)); // Text that was checked to be storable.

export function createFakeParts(
  truth: Truth,
  newTask: (runId: string, actionId: string, actionType: string, epoch: number) => FakeTask,
): PartStore {
  const partsOf = (runId: string, parentId: string) =>
    [...truth.tasks.values()]
      .filter((task) => task.runId === runId && task.parentId === parentId)
      .sort((a, b) => (a.position ?? 0) - (b.position ?? 0));
  const change = (task: FakeTask, values: Partial<FakeTask>) =>
    truth.tasks.set(taskKey(task.runId, task.actionId), { ...task, ...values });
  const positions = (tasks: FakeTask[]) => tasks.map(({ position }) => position ?? 0);
  const isReleased = ({ final, released }: FakeTask) => !final && released;
  return {
    async write({ runId, epoch, parentId, actionType }, parts) {
      const run = truth.runs.get(runId);
      if (run === undefined || run.final || run.epoch !== epoch) return;
      const own = taskKey(runId, parentId);
      if (!truth.tasks.has(own)) truth.tasks.set(own, newTask(runId, parentId, actionType, epoch));
      for (const { id, position, item } of parts) {
        const key = taskKey(runId, id);
        if (truth.tasks.has(key)) continue;
        truth.tasks.set(key, { ...newTask(runId, id, actionType, epoch), parentId, position, item });
      }
    },
    async summary(runId, parentId, epoch) {
      const all = partsOf(runId, parentId);
      const failures = all.filter(({ status }) => status === 'failed');
      const first = failures.sort((a, b) => (a.finishedAt ?? 0) - (b.finishedAt ?? 0))[0];
      return {
        total: all.length,
        open: all.filter(({ final }) => !final).length,
        failed: all.filter(({ final, status }) => final && status !== 'completed' && status !== 'skipped').length,
        happened: all.filter(({ status, effectUnknown }) => status === 'completed' || effectUnknown).length,
        ended: all.filter((task) => task.final && task.epoch === epoch).length,
        firstFailure: first === undefined ? undefined : { position: first.position ?? 0, error: parsed(first.error) },
      };
    },
    async take(runId, parentId, atOnce) {
      if (truth.tasks.get(taskKey(runId, parentId))?.final !== false) return [];
      const all = partsOf(runId, parentId);
      const room = Math.max(0, atOnce - all.filter(isReleased).length);
      const taken = all.filter(({ final, released }) => !final && !released).slice(0, room);
      for (const task of taken) change(task, { released: true });
      return positions(taken);
    },
    released: async (runId, parentId) => positions(partsOf(runId, parentId).filter(isReleased)),
    async cancelUnreleased(runId, parentId) {
      for (const task of partsOf(runId, parentId)) {
        if (!task.final && !task.released) change(task, { status: 'cancelled', final: true, tolerated: true });
      }
    },
    outputs: async (runId, parentId) =>
      partsOf(runId, parentId).map(({ status, output }) => (status === 'completed' ? parsed(output) : null)),
    async last(runId, parentId) {
      const task = partsOf(runId, parentId).at(-1);
      if (task === undefined) return undefined;
      const { position, status, final } = task;
      const last = { position: position ?? 0, status, final, output: parsed(task.output), error: parsed(task.error) };
      return last as LastIteration; // As `rowOf`.
    },
    anyOpen: async (runId, parentId) => partsOf(runId, parentId).some(({ final }) => !final),
  };
}
