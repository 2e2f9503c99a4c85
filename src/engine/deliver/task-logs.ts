/**
 * What adapters log, stored for whoever reads the run. It is gathered here and written in one statement for all tasks of
 * this worker, at most five times a second; a task never waits for it, not even at its end. What is too much is counted,
 * and a line says so where it would have been: too many lines of one execution of an adapter, a line that is too long, more
 * than may wait for the database.
 *
 * A line is *waiting* until it is written; one that the database does not take is tried again while there is room.
 */

import { cleanText, makeStorable } from '../../domain/runs/storable.ts';
import { errorMessage } from '../../domain/texts/error-message.ts';
import { isSecretKey, MASK, maskTokens, maskUrlPasswords } from '../../domain/texts/mask-secrets.ts';
import type { Logger, LogLevel } from '../ports/logger.ts';

export interface TaskLine {
  tenantId: string;
  runId: string;
  actionId: string;
  epoch: number;
  attempt: number;
  level: LogLevel;
  message: string;
  /** JSON text. */
  fields: string | null;
  /** By the database's clock, in milliseconds since 1970; within one execution of an adapter it never goes back. */
  atMs: number;
}
export type LoggingTask = Pick<TaskLine, 'tenantId' | 'runId' | 'actionId' | 'epoch' | 'attempt'>;

export interface TaskLogStore {
  /** In the order given. Of a run that has all the lines it may have only their number is stored. */
  write(lines: readonly TaskLine[], dropped: ReadonlyMap<string, number>): Promise<void>;
}

export interface OpenLog {
  /** What is secret in it is gone already, as far as it is known by its value. */
  add(level: LogLevel, message: string, fields?: object): void;
  close(): void;
}
export interface TaskLogs {
  open(task: LoggingTask): OpenLog;
  /** Writes what waits; nothing is taken after that. */
  stop(): Promise<void>;
}

const NO_LOG: OpenLog = { add: () => undefined, close: () => undefined };
export const NO_LOGS: TaskLogs = { open: () => NO_LOG, stop: () => Promise.resolve() };

export const LINES_PER_EXECUTION = 1_000;
export const MAX_MESSAGE = 4_000;
export const MAX_FIELDS_BYTES = 8_192;
const MAX_WAITING = 5_000;
const LINES_PER_WRITE = 500;
const TICK_MS = 200;
const AGAIN_AFTER_MS = 1_000;
const STOP_TRIES = 3;

export function createTaskLogs(deps: {
  store: TaskLogStore;
  /** The database's time. */
  now(): number;
  /** Takes away what is secret of the installation. */
  mask(text: string): string;
  log: Logger;
}): TaskLogs {
  const { store, log } = deps;
  const waiting: TaskLine[] = [];
  /** By run. */
  const dropped = new Map<string, number>();
  let timer: NodeJS.Timeout | undefined;
  let writing: Promise<boolean> | undefined;
  let stopped = false;

  function later(afterMs: number): void {
    if (timer !== undefined || writing !== undefined || stopped || waiting.length + dropped.size === 0) return;
    timer = setTimeout(() => {
      timer = undefined;
      void write().then((written) => later(written ? nextAfterMs() : AGAIN_AFTER_MS));
    }, afterMs);
    timer.unref();
  }

  const nextAfterMs = () => (waiting.length >= LINES_PER_WRITE ? 0 : TICK_MS);

  /** False: the database did not take it. Never rejects. */
  function write(): Promise<boolean> {
    const lines = waiting.slice(0, LINES_PER_WRITE);
    // Whoever reads how many were not stored, finds all that were.
    const lost = waiting.length > lines.length ? new Map<string, number>() : new Map(dropped);
    if (lines.length + lost.size === 0) return Promise.resolve(true);
    writing = store
      .write(lines, lost)
      .then(
        () => {
          waiting.splice(0, lines.length);
          for (const [runId, count] of lost) forget(runId, count);
          return true;
        },
        (error: unknown) => {
          const reason = errorMessage(error);
          log.warn('task_logs_not_written', { count: lines.length, error: reason });
          return false;
        },
      )
      .finally(() => {
        writing = undefined;
      });
    return writing;
  }

  function forget(runId: string, count: number): void {
    const left = (dropped.get(runId) ?? 0) - count;
    if (left > 0) dropped.set(runId, left);
    else dropped.delete(runId);
  }

  function drop(runId: string, count: number): void {
    dropped.set(runId, (dropped.get(runId) ?? 0) + count);
    later(TICK_MS);
  }

  return {
    open(task) {
      let lines = 0;
      /** Not stored: above what an execution may log, and what found no room to wait. */
      let beyond = 0;
      let crowded = 0;
      let last = 0;
      let over = false;
      const push = (level: LogLevel, texts: Pick<TaskLine, 'message' | 'fields'>) => {
        last = Math.max(last, Math.round(deps.now()));
        waiting.push({ ...task, level, ...texts, atMs: last });
        later(TICK_MS);
      };
      return {
        add(level, message, fields) {
          if (over || stopped) return;
          if (lines >= LINES_PER_EXECUTION) beyond += 1;
          else if (waiting.length >= MAX_WAITING) crowded += 1;
          else {
            lines += 1;
            push(level, lineTexts(message, fields, deps.mask));
          }
        },
        close() {
          over = true;
          const say = (message: string) => push('warn', { message, fields: null });
          if (beyond > 0) say(`${beyond} more lines were not kept: an attempt may log ${LINES_PER_EXECUTION}`);
          if (crowded > 0) say(`${crowded} lines were not kept: too many were waiting to be written`);
          if (beyond + crowded > 0) drop(task.runId, beyond + crowded);
          beyond = 0;
          crowded = 0;
        },
      };
    },
    async stop() {
      stopped = true;
      clearTimeout(timer);
      await writing;
      for (let tries = 0; tries < STOP_TRIES && waiting.length + dropped.size > 0; ) {
        if (!(await write())) tries += 1;
      }
    },
  };
}

type Mask = (text: string) => string;

/** Masks and shortens a line; also what `mask` does not know: tokens, passwords in addresses. */
export function lineTexts(
  message: string,
  fields: object | undefined,
  mask: Mask,
): Pick<TaskLine, 'message' | 'fields'> {
  const masked: Mask = (text) => mask(maskTokens(maskUrlPasswords(text)));
  return { message: messageOf(message, masked), fields: fieldsOf(fields, masked) };
}

function messageOf(message: unknown, mask: Mask): string {
  // Adapters are JavaScript in the end.
  const text = cleanText(mask(String(message)).slice(0, MAX_MESSAGE + 1));
  return text.length > MAX_MESSAGE ? `${text.slice(0, MAX_MESSAGE - 1)}…` : text;
}

function fieldsOf(fields: object | undefined, mask: Mask): string | null {
  if (fields === undefined) return null;
  try {
    // Through JSON first: it is where errors lose their words and secrets their values.
    const plain: unknown = JSON.parse(JSON.stringify(fields instanceof Error ? { error: fields } : fields, readable));
    if (typeof plain !== 'object' || plain === null || Object.keys(plain).length === 0) return null;
    const storable = makeStorable(plain, { maxBytes: MAX_FIELDS_BYTES, mask });
    return storable.ok ? storable.json : JSON.stringify({ not_kept: storable.message });
  } catch {
    return JSON.stringify({ not_kept: 'the fields cannot be read' });
  }
}

function readable(key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return value.toString();
  if (typeof value === 'string') return isSecretKey(key) ? MASK : value;
  if (!(value instanceof Error)) return value;
  const { code } = value as { code?: unknown };
  return { name: value.name, message: value.message, code, cause: value.cause };
}
