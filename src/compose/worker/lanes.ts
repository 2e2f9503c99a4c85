/** The lanes of a worker: their jobs, which of those it may still believe to be its own, and whether it responds to the queue. */

import { FINALIZER_QUEUE } from '../../domain/graph/compile.ts';
import { type ExecuteDeps, executeTask, settleLostJob } from '../../engine/deliver/execute-task.ts';
import { createJobsInHand, PULSES_PER_LOCK } from '../../engine/deliver/jobs-in-hand.ts';
import type { Lane } from '../../queue/lane.ts';
import { openLanes } from '../../queue/sharded-lane.ts';
import type { SharedMetrics } from '../../telemetry/shared-metrics.ts';
import { isPassing } from '../payloads.ts';
import type { WorkerResources } from './resources.ts';
import { watchResponsiveness } from './responsiveness.ts';

export interface WorkerLanes {
  names: readonly string[];
  /** Resolves to why nothing helps in this process. */
  broken: Promise<string>;
  /** Begins to take jobs. */
  open(deps: ExecuteDeps): Promise<void>;
  /** Tasks that run now. */
  active(): number;
  jobIds(): string[];
  isUnresponsive(): boolean;
  watchUntil(signal: AbortSignal): Promise<void>;
  /** Takes no further jobs. */
  drain(): Promise<void>;
  /** When no job is in hand any more. */
  close(): Promise<void>;
  /** The last of it. */
  stop(): void;
}

/** `stopping`: until then a lane waits for a database that can be used. */
export function createWorkerLanes(
  { config, backend, clock, faults, traced, writePath, worker, log }: WorkerResources,
  names: readonly string[],
  shared: Pick<SharedMetrics, 'taskDelivered'>,
  stopping: AbortSignal,
): WorkerLanes {
  const inHand = createJobsInHand({ lockDurationMs: config.lockDurationMs, now: () => performance.now(), log });
  backend.onOtherServer(inHand.queueChanged);
  const pulse = setInterval(inHand.pulse, config.lockDurationMs / PULSES_PER_LOCK).unref();
  let lanes: Lane[] = [];
  let breakDown: (reason: string) => void = () => undefined;
  const broken = new Promise<string>((resolve) => {
    breakDown = resolve;
  });
  const responsiveness = watchResponsiveness({
    worker,
    lanes: () => lanes,
    backend,
    unresponsiveMs: config.deafSeconds * 1_000,
    onBroken: breakDown,
    log,
  });
  return {
    ...{ names, broken },
    isUnresponsive: responsiveness.isUnresponsive,
    watchUntil: responsiveness.watchUntil,
    async open(deps) {
      lanes = names.flatMap((name) =>
        openLanes({
          backend,
          queue: name,
          concurrency: config.workerConcurrency,
          lockDurationMs: config.lockDurationMs,
          stalledIntervalMs: config.stalledIntervalMs,
          rateLimit: config.laneRateLimits.get(name),
          now: clock.now,
          async handle(delivery) {
            if (name !== FINALIZER_QUEUE) shared.taskDelivered();
            const execute = () => executeTask(deps, delivery);
            return traced.deliveries?.around(delivery, execute) ?? execute();
          },
          isPassing,
          onEnded: (error) => faults.delivered(name, error),
          whenUsable: () => writePath.whenUsable(stopping),
          storesReasons: !config.encryptPayloads,
          onLost: (delivery, reason) => settleLostJob(deps, delivery, reason),
          inHand,
          log,
        }),
      );
      await Promise.all(lanes.map((lane) => lane.ready()));
    },
    active: () => lanes.reduce((sum, lane) => sum + lane.active(), 0),
    jobIds: inHand.ids,
    async drain() {
      await Promise.all(lanes.map((lane) => lane.drain()));
    },
    async close() {
      await Promise.all(lanes.map((lane) => lane.close()));
    },
    stop: () => clearInterval(pulse),
  };
}
