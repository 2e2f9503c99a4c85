/** A log that is kept in memory and shown when a test fails. */
import type { Logger } from '../../src/engine/ports/logger.ts';

export interface LogLine {
  level: 'debug' | 'info' | 'warn' | 'error';
  event: string;
  fields: object | undefined;
}
export interface TestLog extends Logger {
  lines: LogLine[];
  /** What was logged since the last call and says that a net had to catch something, which only a fault may cause. */
  takeAlarms(): LogLine[];
  tail(): string;
}

const KEPT = 5_000;
const SHOWN = 60;
// Nothing that a slow machine alone can bring about.
const ALARMS = new Set(['job_failed_outside_engine', 'lost_job_not_settled', 'run_not_marked_queued', 'run_not_swept']);

export function createTestLog(): TestLog {
  const lines: LogLine[] = [];
  let alarms: LogLine[] = [];
  const keep =
    (level: LogLine['level']) =>
    (event: string, fields?: object): void => {
      if (event === 'http request') return;
      const line = { level, event, fields };
      lines.push(line);
      if (ALARMS.has(event)) alarms.push(line);
      if (lines.length > KEPT) lines.splice(0, KEPT / 2);
    };
  return {
    lines,
    debug: () => undefined,
    info: keep('info'),
    warn: keep('warn'),
    error: keep('error'),
    takeAlarms() {
      const taken = alarms;
      alarms = [];
      return taken;
    },
    tail: () =>
      lines
        .slice(-SHOWN)
        .map(({ level, event, fields }) => `${level} ${event} ${JSON.stringify(fields ?? {})}`)
        .join('\n'),
  };
}
