/**
 * What adapters say while they run: progress, heartbeats, chunks of their output. It is gathered here and written in
 * one statement for all tasks of this worker: chunks of an output at most ten times a second, progress at most once a second
 * for each task, where the latest counts. An adapter that says nothing costs nothing, and none ever waits for it.
 *
 * An execution is *clean* while there is nothing to write, *dirty* until what it said is committed (what could not be
 * written is tried again), and *closed* when its adapter has ended: what is said after that is ignored.
 */

import { cleanText, makeStorable } from '../../domain/runs/storable.ts';
import { errorMessage } from '../../domain/texts/error-message.ts';
import { maskOf } from '../../domain/texts/mask-secrets.ts';
import { endOfCharacter, type MaskedText, maskText } from '../../domain/texts/mask-stream.ts';
import type { Logger } from '../ports/logger.ts';

export interface Reports {
  /** 0 to 100. */
  progress(percent: number, message?: string): void;
  heartbeat(): void;
  stream(chunk: unknown): void;
}

export interface TaskReport {
  tenantId: string;
  runId: string;
  actionId: string;
  epoch: number;
  attempt: number;
  fence: number;
  /** One execution of the adapter. */
  execution: string;
  percent: number | null;
  message: string | null;
  truncated: boolean;
  /** JSON texts, numbered from 1 within the execution. */
  chunks: ReadonlyArray<{ n: number; json: string }>;
}
export type ReportingTask = Pick<TaskReport, 'tenantId' | 'runId' | 'actionId' | 'epoch' | 'attempt' | 'fence'>;

export interface TaskReportStore {
  /** In one statement. What a newer attempt, or a newer holder of this one, has started is left alone. */
  write(reports: readonly TaskReport[]): Promise<void>;
}

export interface OpenReports extends Reports {
  /** Undefined: nothing is left to be written. */
  close(): Promise<void> | undefined;
}

export interface TaskReports {
  open(task: ReportingTask, secrets: readonly string[]): OpenReports;
  /** Nothing more is written. */
  stop(): void;
}

/** For whoever listens to nothing. */
export const CLOSED_REPORTS: OpenReports = {
  progress: () => undefined,
  heartbeat: () => undefined,
  stream: () => undefined,
  close: () => undefined,
};
export const NO_REPORTS: TaskReports = { open: () => CLOSED_REPORTS, stop: () => undefined };

const TICK_MS = 100;
const PROGRESS_EVERY_MS = 1_000;
const AGAIN_AFTER_MS = 1_000;
const MAX_MESSAGE = 1_000;
const MAX_CHUNK_BYTES = 65_536;
/** Of one piece of text; four bytes for each of them are less than a chunk may have. */
const MAX_CHUNK_CHARACTERS = 16_000;
const CHUNKS_PER_WRITE = 100;
const TASKS_PER_WRITE = 100;
/** The end of a task waits no longer than this for what it said last. */
const CLOSE_TIMEOUT_MS = 2_000;

interface Execution {
  task: ReportingTask;
  id: string;
  percent: number | null;
  message: string | null;
  truncated: boolean;
  /** Said and not written; counts up with what is said, so that it is known whether more came meanwhile. */
  said: number;
  written: number;
  writtenAt: number;
  text: MaskedText;
  /** Text has come since the last was taken; its end may wait for more. */
  hasText: boolean;
  chunks: Array<{ n: number; json: string }>;
  numbered: number;
  bytes: number;
  closed: boolean;
}

export function createTaskReports(deps: {
  store: TaskReportStore;
  newId(): string;
  /** Milliseconds of a clock that only goes forward. */
  now(): number;
  /** Of the output of one execution; what comes after that is dropped. */
  maxBytes: number;
  log: Logger;
}): TaskReports {
  const { store, now, log } = deps;
  const dirty = new Set<Execution>();
  let timer: NodeJS.Timeout | undefined;
  let writing: Promise<void> | undefined;
  let notBefore = 0;
  let stopped = false;

  function later(): void {
    if (timer !== undefined || stopped || dirty.size === 0) return;
    timer = setTimeout(() => {
      timer = undefined;
      if (writing === undefined && now() >= notBefore) void write(false);
      later();
    }, TICK_MS);
    timer.unref();
  }

  /** `all`: also what is not due yet. Never rejects. */
  function write(all: boolean): Promise<void> {
    const due = [...dirty].filter((one) => all || isDue(one)).slice(0, TASKS_PER_WRITE);
    if (due.length === 0) return Promise.resolve();
    for (const one of due) cutText(one);
    const sent = due.map((one) => ({ one, said: one.said, report: reportOf(one) }));
    writing = store
      .write(sent.map(({ report }) => report))
      .then(
        () => {
          for (const { one, said, report } of sent) {
            one.chunks.splice(0, report.chunks.length);
            one.written = said;
            one.writtenAt = now();
            if (!isDirty(one)) dirty.delete(one);
          }
        },
        (error: unknown) => {
          notBefore = now() + AGAIN_AFTER_MS;
          log.warn('reports_not_written', {
            count: sent.length,
            error: errorMessage(error),
          });
        },
      )
      .finally(() => {
        writing = undefined;
      });
    return writing;
  }

  const isDirty = (one: Execution) =>
    one.said > one.written || one.chunks.length > 0 || (one.closed && one.text.size() > 0);
  const isDue = (one: Execution) =>
    one.closed || one.chunks.length > 0 || one.hasText || now() - one.writtenAt >= PROGRESS_EVERY_MS;

  function touch(one: Execution): void {
    one.said += 1;
    dirty.add(one);
    later();
  }

  /** Pieces of text that came one after the other become one chunk. */
  function cutText(one: Execution, all = one.closed): void {
    one.hasText = false;
    if (one.text.size() > 0)
      for (const piece of pieces(one.text.take(all))) append(one, JSON.stringify(cleanText(piece)));
  }

  function append(one: Execution, json: string): void {
    const bytes = Buffer.byteLength(json);
    if (one.truncated || one.bytes + bytes > deps.maxBytes) {
      one.truncated = true;
      return;
    }
    one.bytes += bytes;
    one.numbered += 1;
    one.chunks.push({ n: one.numbered, json });
  }

  return {
    open(task, secrets) {
      let opened: Execution | undefined;
      const mask = secrets.length > 0 ? maskOf(secrets) : undefined;
      const one = (): Execution => {
        opened ??= {
          task,
          id: deps.newId(),
          percent: null,
          message: null,
          truncated: false,
          said: 0,
          written: 0,
          writtenAt: Number.NEGATIVE_INFINITY,
          text: maskText(secrets),
          hasText: false,
          chunks: [],
          numbered: 0,
          bytes: 0,
          closed: false,
        };
        return opened;
      };
      let over = false;
      return {
        progress(percent, message) {
          if (over) return;
          const execution = one();
          if (Number.isFinite(percent)) execution.percent = Math.min(100, Math.max(0, percent));
          if (message !== undefined) execution.message = cleanText(mask?.(message) ?? message).slice(0, MAX_MESSAGE);
          touch(execution);
        },
        heartbeat() {
          if (!over) touch(one());
        },
        stream(chunk) {
          if (over) return;
          const execution = one();
          if (execution.truncated) return;
          if (typeof chunk === 'string') {
            execution.text.add(chunk);
            execution.hasText = true;
            // What is not written yet is bounded too.
            if (execution.text.size() + execution.bytes > deps.maxBytes) cutText(execution);
          } else {
            // In the order in which they came.
            cutText(execution, true);
            const storable = makeStorable(chunk, { maxBytes: MAX_CHUNK_BYTES, mask });
            if (storable.ok) append(execution, storable.json);
            else execution.truncated = true;
          }
          touch(execution);
        },
        close() {
          over = true;
          if (opened === undefined) return undefined;
          opened.closed = true;
          return closed(opened);
        },
      };
    },
    stop() {
      stopped = true;
      clearTimeout(timer);
    },
  };

  async function closed(one: Execution): Promise<void> {
    const until = now() + CLOSE_TIMEOUT_MS;
    while (isDirty(one) && !stopped && now() < until) {
      await writing;
      if (isDirty(one)) await write(true);
      // It could not be written: the database is away, and so the task itself waits.
      if (now() < notBefore) break;
    }
    dirty.delete(one);
  }
}

function pieces(text: string): string[] {
  const found: string[] = [];
  for (let rest = text; rest !== ''; ) {
    const at = endOfCharacter(rest, MAX_CHUNK_CHARACTERS);
    found.push(rest.slice(0, at));
    rest = rest.slice(at);
  }
  return found;
}

function reportOf({ task, id, percent, message, truncated, chunks }: Execution): TaskReport {
  return { ...task, execution: id, percent, message, truncated, chunks: chunks.slice(0, CHUNKS_PER_WRITE) };
}
