/** The log that the engine writes. */

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

export interface Logger {
  debug(event: string, fields?: object): void;
  info(event: string, fields?: object): void;
  warn(event: string, fields?: object): void;
  error(event: string, fields?: object): void;
  /** False: such a line is not written, so nothing need be made for it. Left out: all are. */
  isEnabled?(level: LogLevel): boolean;
  /** A pass of background work has failed, or completed. Left out: the process has no ledger of its faults. */
  passed?(work: string, error: unknown): void;
}
