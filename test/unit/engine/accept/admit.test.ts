import { expect, test, vi } from 'vitest';
import { createAdmission } from '../../../../src/engine/accept/admit.ts';
import { createFairness } from '../../../../src/engine/accept/fairness.ts';
import { NO_FAILPOINT } from '../../../../src/engine/ports/failpoint.ts';
import { DIAMOND, definitionOf, type Edges } from '../../../harness/dags.ts';
import { plansOf, WORKFLOW } from '../../../harness/fakes/engine.ts';
import { createFakeQueue } from '../../../harness/fakes/queue.ts';
import { createFakeStore } from '../../../harness/fakes/store.ts';
import { createTestLog } from '../../../harness/test-log.ts';

/** One action that waits for all others. */
function wide(actions: number): Edges {
  const ids = Array.from({ length: actions }, (_, n) => `a${n}`);
  return { ...Object.fromEntries(ids.map((id) => [id, []])), last: ids };
}

function admission(window: number, edges = DIAMOND) {
  const store = createFakeStore();
  const queue = createFakeQueue();
  const log = createTestLog();
  const clock = { now: 0 };
  /** Tenants with runs that have waited for long. */
  const waiting: string[] = [];
  const { windowUse } = store.runs;
  store.runs.windowUse = async (query) => ({ ...(await windowUse(query)), waiting });
  const admission = createAdmission({
    plans: plansOf(definitionOf(edges)),
    runs: store.runs,
    queue,
    failpoint: NO_FAILPOINT,
    window,
    fairness: createFairness(() => 1),
    log,
    now: () => clock.now,
  });
  const acceptFor = (tenantId: string, ...ids: string[]) => {
    for (const id of ids) store.insert({ id, tenantId, of: WORKFLOW });
    return admission.admit(ids.map((id) => ({ id, tenantId, of: WORKFLOW, priority: 50 })));
  };
  const accept = (...ids: string[]) => acceptFor('t', ...ids);
  const statusOf = (id: string) => store.truth.runs.get(id)?.status;
  return { store, queue, log, clock, waiting, accept, acceptFor, statusOf };
}

test('while there is room an accepted run is in the queue at once, its first flow alone', async () => {
  const { queue, accept, statusOf } = admission(10);
  await accept('r1', 'r2');
  expect(queue.jobs().map(({ jobId }) => jobId)).toEqual(['r1.1.a', 'r2.1.a']);
  expect(queue.jobs()[0]?.node.data).toMatchObject({ gen: 0, epoch: 1 });
  await vi.waitFor(() => expect([statusOf('r1'), statusOf('r2')]).toEqual(['queued', 'queued']));
});

test('what does not fit into the window stays pending', async () => {
  const { queue, accept, statusOf } = admission(2);
  await accept('r1', 'r2', 'r3');
  await accept('r4');
  expect(queue.jobs().map(({ jobId }) => jobId)).toEqual(['r1.1.a', 'r2.1.a']);
  expect([statusOf('r3'), statusOf('r4')]).toEqual(['pending', 'pending']);
});

test('runs that others have in the queue count, and are counted once a second', async () => {
  const { store, clock, queue, accept } = admission(2);
  const count = vi.spyOn(store.runs, 'windowUse');
  store.insert({ id: 'other1', of: WORKFLOW, status: 'running' });
  store.insert({ id: 'other2', of: WORKFLOW, status: 'queued' });
  await accept('r1');
  expect(queue.jobs()).toEqual([]);
  Object.assign(store.truth.runs.get('other1') ?? {}, { final: true });
  clock.now = 999;
  await accept('r2');
  expect(queue.jobs()).toEqual([]);
  clock.now = 1_000;
  await accept('r3');
  expect(queue.jobs().map(({ jobId }) => jobId)).toEqual(['r3.1.a']);
  expect(count).toHaveBeenCalledTimes(2);
});

test('many that come together are counted for once', async () => {
  const { store, accept } = admission(100);
  const count = vi.spyOn(store.runs, 'windowUse');
  await Promise.all([accept('r1'), accept('r2'), accept('r3')]);
  expect(count).toHaveBeenCalledTimes(1);
});

test('a queue that cannot be reached leaves the run to the dispatcher, and is left alone for a second', async () => {
  const { queue, clock, log, accept, statusOf } = admission(10);
  queue.down = true;
  await accept('r1');
  expect(statusOf('r1')).toBe('pending');
  expect(log.lines.map(({ event }) => event)).toEqual(['runs_left_to_dispatcher']);
  queue.down = false;
  clock.now = 999;
  await accept('r2');
  expect(queue.jobs()).toEqual([]);
  clock.now = 1_000;
  await accept('r3');
  expect(queue.jobs().map(({ jobId }) => jobId)).toEqual(['r3.1.a']);
});

test('one flow that takes too long to add is left to the dispatcher alone, while the queue answers', async () => {
  const { queue, accept, acceptFor, statusOf } = admission(10);
  vi.spyOn(queue, 'add').mockRejectedValueOnce(new Error('no answer within 2000 ms'));
  const ping = vi.spyOn(queue, 'ping');
  await accept('large');
  expect(statusOf('large')).toBe('pending');
  await acceptFor('another', 'r1');
  expect(queue.jobs().map(({ jobId }) => jobId)).toEqual(['r1.1.a']);
  expect(ping).toHaveBeenCalledTimes(1);
});

test('a database that does not answer leaves it to the dispatcher too', async () => {
  const { store, queue, accept } = admission(10);
  vi.spyOn(store.runs, 'windowUse').mockRejectedValueOnce(new Error('away'));
  await accept('r1');
  expect(queue.jobs()).toEqual([]);
});

test('a run that cannot be marked as queued is in the queue all the same', async () => {
  const { store, queue, log, accept } = admission(10);
  vi.spyOn(store.runs, 'markQueued').mockRejectedValueOnce(new Error('away'));
  await accept('r1');
  expect(queue.jobs()).toHaveLength(1);
  await vi.waitFor(() => expect(log.lines.map(({ event }) => event)).toEqual(['run_not_marked_queued']));
});

test('the first run of a tenant comes up before what another has added already', async () => {
  const { queue, acceptFor } = admission(100);
  await acceptFor('a', ...Array.from({ length: 20 }, (_, n) => `a${n}`));
  await acceptFor('b', 'b0');
  const inTurn = queue.jobs().sort((x, y) => x.node.priority - y.node.priority);
  // Equal ones go in the order of their adding.
  expect(inTurn.slice(0, 3).map(({ jobId }) => jobId)).toEqual(['a0.1.a', 'b0.1.a', 'a1.1.a']);
});

test('while runs of a tenant wait its new ones wait behind them, and those of others have their share', async () => {
  const { queue, waiting, acceptFor } = admission(20);
  waiting.push('a');
  await acceptFor('other', ...Array.from({ length: 10 }, (_, n) => `o${n}`));
  expect(queue.jobs()).toHaveLength(10);
  await acceptFor('a', 'a1');
  await acceptFor('b', 'b1');
  expect(
    queue
      .jobs()
      .slice(10)
      .map(({ jobId }) => jobId),
  ).toEqual(['b1.1.a']);
});

test('a flow of many jobs is marked before it is added, so that the dispatcher does not add it as well', async () => {
  const { queue, accept, statusOf } = admission(10, wide(300));
  const { add } = queue;
  let before: string | undefined;
  queue.add = async (...parameters) => {
    before = statusOf('r1');
    await add(...parameters);
  };
  await accept('r1');
  expect(before).toBe('queued');
  expect(queue.jobs().length).toBeGreaterThan(300);
});

test('a flow of many jobs that could not be added because the queue is away is checked next', async () => {
  const { store, queue, accept, statusOf } = admission(10, wide(300));
  const checkNow = vi.spyOn(store.runs, 'checkNow');
  queue.down = true;
  await accept('r1');
  expect(statusOf('r1')).toBe('queued');
  expect(checkNow.mock.calls).toEqual([['r1']]);
});

test('a small flow is marked when it was added', async () => {
  const { queue, accept, statusOf } = admission(10, wide(20));
  queue.down = true;
  await accept('r1');
  expect(statusOf('r1')).toBe('pending');
});
