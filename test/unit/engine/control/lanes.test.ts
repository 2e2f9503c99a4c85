/** Paused lanes: what workers and API processes do about it, over a queue that forgets and processes that die. */
import { expect, test } from 'vitest';
import {
  createLanePauseSync,
  createLanes,
  type LanePauseStore,
  type PausedLane,
} from '../../../../src/engine/control/lanes.ts';
import { createTestLog } from '../../../harness/test-log.ts';

const CALLER = { tenantId: 't', userId: 'ada', correlationId: undefined, traceId: '' };
const LANES = ['a', 'b'];

function world() {
  const rows = new Map<string, PausedLane>();
  const pausedLanes = new Set<string>();
  let changes = 0;
  let queueIsAway = false;
  const pauses: LanePauseStore = {
    paused: async () => [...rows.values()],
    lastChange: async () => (changes === 0 ? null : String(changes)),
    async pause({ tenantId, userId }, lane, reason) {
      if (rows.has(lane)) return false;
      changes += 1;
      rows.set(lane, { lane, tenantId, by: userId, reason: reason ?? null, since: new Date(0) });
      return true;
    },
    async resume(_caller, lane) {
      changes += 1;
      return rows.delete(lane);
    },
  };
  const queue = {
    async setPaused(lane: string, paused: boolean) {
      if (queueIsAway) throw new Error('away');
      if (paused) pausedLanes.add(lane);
      else pausedLanes.delete(lane);
    },
  };
  const depths = { depths: () => Promise.reject(new Error('away')) };
  return {
    pausedLanes,
    pauses,
    queue,
    lanes: createLanes({ pauses, queue, depths, lanes: LANES, log: createTestLog() }),
    sync: () => createLanePauseSync({ pauses, queue, lanes: LANES }),
    queueGoesAway(isAway: boolean) {
      queueIsAway = isAway;
    },
  };
}

test('a lane is paused at once, and by the workers where the queue is away or has forgotten it', async () => {
  const { pausedLanes, lanes, sync, queueGoesAway } = world();
  const pass = sync();
  await lanes.pause(CALLER, 'a', undefined);
  expect([...pausedLanes]).toEqual(['a']);
  pausedLanes.clear();
  await pass();
  expect([...pausedLanes]).toEqual(['a']);
  queueGoesAway(true);
  await lanes.resume(CALLER, 'a', undefined);
  await lanes.pause(CALLER, 'b', undefined);
  expect([...pausedLanes]).toEqual(['a']);
  await expect(pass()).rejects.toThrow('away');
  queueGoesAway(false);
  await pass();
  expect([...pausedLanes]).toEqual(['b']);
});

test('what an API process that died has left paused is resumed, also when it was paused and resumed between two passes', async () => {
  const { pausedLanes, pauses, sync } = world();
  pausedLanes.add('a');
  const pass = sync();
  await pass();
  expect([...pausedLanes], 'at the first pass').toEqual([]);
  await pauses.pause(CALLER, 'a', undefined);
  pausedLanes.add('a');
  await pauses.resume(CALLER, 'a', undefined);
  await pass();
  expect([...pausedLanes]).toEqual([]);
});

test('a pause that reaches the queue after the resume is taken back by whoever made it', async () => {
  const { pausedLanes, pauses, queue, lanes, sync } = world();
  const setPaused = queue.setPaused;
  queue.setPaused = async (lane, paused) => {
    queue.setPaused = setPaused;
    await pauses.resume(CALLER, lane, undefined);
    await setPaused(lane, paused);
  };
  await lanes.pause(CALLER, 'a', undefined);
  expect([...pausedLanes]).toEqual([]);
  const pass = sync();
  await pauses.pause(CALLER, 'b', undefined);
  queue.setPaused = async (lane, paused) => {
    if (paused) await pauses.resume(CALLER, lane, undefined);
    await setPaused(lane, paused);
  };
  await pass();
  expect([...pausedLanes]).toEqual(['b']);
  await pass();
  expect([...pausedLanes]).toEqual([]);
});

test('what somebody pauses in the board alone is left alone while nothing changes', async () => {
  const { pausedLanes, sync } = world();
  const pass = sync();
  await pass();
  pausedLanes.add('b');
  await pass();
  expect([...pausedLanes]).toEqual(['b']);
});

test('the list says who paused a lane to those of the same tenant, and goes on without the queue', async () => {
  const { lanes } = world();
  await lanes.pause(CALLER, 'a', 'hot');
  const unknown = { depth: null, active: null, delayed: null };
  const paused = { lane: 'a', paused: true, since: new Date(0).toISOString(), reason: 'hot', ...unknown };
  const open = { lane: 'b', paused: false, by: null, since: null, reason: null, ...unknown };
  expect(await lanes.list(CALLER)).toEqual([{ ...paused, by: 'ada' }, open]);
  expect(await lanes.list({ ...CALLER, tenantId: 'other' })).toEqual([{ ...paused, by: null }, open]);
});
