/** How much waits in the lanes, as BullMQ counts it. */

import { endedWithin } from '../engine/deliver/time-limit.ts';
import type { LaneDepths } from '../engine/health/engine-health.ts';
import { type LaneQueue, NO_RESPONSE } from './backend.ts';

/** How many of the next jobs are read to find the oldest one; the lane is ordered by priority, not by age. */
const PROBED_JOBS = 20;
const TIMEOUT_MS = 2_000;

export function createLaneDepths(lanes: readonly LaneQueue[]): LaneDepths {
  const depthOf = async (queue: LaneQueue) => {
    const [counts, next] = await Promise.all([
      queue.getJobCounts('waiting', 'prioritized', 'active', 'delayed', 'waiting-children'),
      queue.getJobs(['waiting', 'prioritized'], 0, PROBED_JOBS - 1, true),
    ]);
    // A job may end between the reading of the list and that of the job.
    const added = next.flatMap((job) => (job === undefined ? [] : [job.timestamp + job.delay]));
    return {
      lane: queue.name,
      depth: (counts['waiting'] ?? 0) + (counts['prioritized'] ?? 0),
      active: counts['active'] ?? 0,
      delayed: counts['delayed'] ?? 0,
      blocked: counts['waiting-children'] ?? 0,
      oldestWaitingSeconds: added.length === 0 ? null : Math.max(0, (Date.now() - Math.min(...added)) / 1000),
    };
  };
  return {
    depths: () => endedWithin(TIMEOUT_MS, Promise.all(lanes.map(depthOf)).then(byLane), NO_RESPONSE),
  };
}

type LaneDepth = Awaited<ReturnType<LaneDepths['depths']>>[number];

/** Of all shards together. */
function byLane(depths: readonly LaneDepth[]): LaneDepth[] {
  const lanes = new Map<string, LaneDepth>();
  for (const one of depths) {
    const sum = lanes.get(one.lane);
    lanes.set(one.lane, sum === undefined ? one : sumOf(sum, one));
  }
  return [...lanes.values()];
}

function sumOf(one: LaneDepth, other: LaneDepth): LaneDepth {
  const waits = [one.oldestWaitingSeconds, other.oldestWaitingSeconds].filter((seconds) => seconds !== null);
  return {
    lane: one.lane,
    depth: one.depth + other.depth,
    active: one.active + other.active,
    delayed: one.delayed + other.delayed,
    blocked: one.blocked + other.blocked,
    oldestWaitingSeconds: waits.length === 0 ? null : Math.max(...waits),
  };
}
