/** A log that is kept in memory and shown when a test fails. */
import type { Logger } from '../../src/engine/ports.ts';

export interface LogLine {
  level: 'debug' | 'info' | 'warn' | 'error';
  event: string;
  fields: object | undefined;
}
export interface TestLog extends Logger {
  lines: LogLine[];
  /** The last lines, without those that are always there. */
  tail(): string;
}

const KEPT = 5_000;
const SHOWN = 60;

export function createTestLog(): TestLog {
  const lines: LogLine[] = [];
  const keep =
    (level: LogLine['level']) =>
    (event: string, fields?: object): void => {
      lines.push({ level, event, fields });
      if (lines.length > KEPT) lines.splice(0, KEPT / 2);
    };
  return {
    lines,
    debug: () => undefined,
    info: keep('info'),
    warn: keep('warn'),
    error: keep('error'),
    tail: () =>
      lines
        .filter(({ event }) => event !== 'http_request')
        .slice(-SHOWN)
        .map(({ level, event, fields }) => `${level} ${event} ${JSON.stringify(fields ?? {})}`)
        .join('\n'),
  };
}
