/**
 * Sends runs that have ended to the collector of traces, with their tasks, as their rows say. They are read a moment after
 * the end, many together and apart from the work; what cannot be read is dropped.
 */
import type { EndedSpan } from '../../domain/ended-span.ts';
import { errorMessage } from '../../domain/texts/error-message.ts';
import type { Logger } from '../../engine/ports/logger.ts';
import type { RunStore } from '../../engine/ports/runs.ts';
import type { TaskStore } from '../../engine/ports/tasks.ts';

export interface EndedRunReader {
  /** The spans of those that have ended and whose trace is sampled. */
  spans(runIds: readonly string[]): Promise<EndedSpan[]>;
}

export interface EndedRuns {
  notice(runId: string): void;
  /** Sends what remains. */
  stop(): Promise<void>;
}

export interface EndedRunsDeps {
  reader: EndedRunReader;
  add(span: EndedSpan): void;
  /** Of runs that could not be read, or for which there was no room. */
  dropped(runs: number): void;
  log: Logger;
}

const READ_EVERY_MS = 250;
const RUNS_PER_READ = 100;
const MAX_WAITING = 10_000;

export function createEndedRuns({ reader, add, dropped, log }: EndedRunsDeps): EndedRuns {
  // Each once, however often it is reported.
  const waiting = new Set<string>();
  let timer: NodeJS.Timeout | undefined;
  let reading: Promise<void> = Promise.resolve();
  let stopped = false;

  async function readAll(): Promise<void> {
    while (waiting.size > 0) {
      const ids = [...waiting].slice(0, RUNS_PER_READ);
      for (const id of ids) waiting.delete(id);
      try {
        for (const span of await reader.spans(ids)) add(span);
      } catch (error) {
        dropped(ids.length);
        log.warn('ended_runs_not_exported', {
          runs: ids.length,
          error: errorMessage(error),
        });
      }
    }
  }

  return {
    notice(runId) {
      if (stopped || waiting.size >= MAX_WAITING) return dropped(1);
      waiting.add(runId);
      timer ??= setTimeout(() => {
        timer = undefined;
        reading = reading.then(readAll);
      }, READ_EVERY_MS).unref();
    },
    async stop() {
      stopped = true;
      clearTimeout(timer);
      await reading;
      await readAll();
    },
  };
}

type Ending = Pick<RunStore, 'endAbnormally' | 'finalize'>;

/** The same store; whatever run it ends is noticed. */
export function tracedRuns<Runs extends Ending>(runs: Runs, ended: Pick<EndedRuns, 'notice'> | undefined): Runs {
  if (ended === undefined) return runs;
  return {
    ...runs,
    async endAbnormally(...of: Parameters<Ending['endAbnormally']>) {
      const done = await runs.endAbnormally(...of);
      if (done) ended.notice(of[0]);
      return done;
    },
    async finalize(...of: Parameters<Ending['finalize']>) {
      const done = await runs.finalize(...of);
      if (done) ended.notice(of[0].runId);
      return done;
    },
  };
}

export function tracedTasks<Tasks extends Pick<TaskStore, 'commit'>>(
  tasks: Tasks,
  ended: Pick<EndedRuns, 'notice'> | undefined,
): Tasks {
  if (ended === undefined) return tasks;
  return {
    ...tasks,
    async commit(outcome: Parameters<TaskStore['commit']>[0]) {
      const result = await tasks.commit(outcome);
      if (result === 'accepted' && outcome.endsRun) ended.notice(outcome.runId);
      return result;
    },
  };
}

/** A saga ends its run itself. */
export function tracedSagas<Sagas extends { end(run: { id: string; epoch: number }): Promise<void> }>(
  sagas: Sagas,
  ended: Pick<EndedRuns, 'notice'> | undefined,
): Sagas {
  if (ended === undefined) return sagas;
  return {
    ...sagas,
    async end(run: { id: string; epoch: number }) {
      await sagas.end(run);
      ended.notice(run.id);
    },
  };
}
