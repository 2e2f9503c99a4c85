/** The log: one event a line, to the console and to a rotating file, without secrets. */
import { Writable } from 'node:stream';
import winston from 'winston';
import { isSecretKey, MASK, maskOf, maskTokens, maskUrlPasswords } from '../domain/texts/mask-secrets.ts';
import { COLLECTOR_LIMITS, createLogCollector, type LogCollector } from './log-collector.ts';
import { rotatingFile } from './rotating-file.ts';

export interface Logger {
  debug(event: string, fields?: object): void;
  info(event: string, fields?: object): void;
  warn(event: string, fields?: object): void;
  error(event: string, fields?: object): void;
  /** False: a line of that level is not written. */
  isEnabled(level: LogSettings['logLevel']): boolean;
  /** Resolves when all lines are written; nothing may be logged afterwards. */
  close(): Promise<void>;
}

export interface LogSettings {
  logLevel: 'debug' | 'info' | 'warn' | 'error';
  logFormat: 'json' | 'text';
  logFile: string | undefined;
  /** Where it is sent too. */
  logCollectorUrl?: string | undefined;
  /** Bounds what is spent at the end on sending what is left. */
  shutdownGraceSeconds?: number;
  /** Values that never appear. */
  hidden: readonly string[];
}

const FILE_BYTES = 10 * 1024 * 1024;
const OLDER_FILES = 5;

/** `logger` names the process or part, for example `api`. */
export function createLog(settings: LogSettings, options: { logger: string }): Logger {
  const mask = maskOf(settings.hidden);
  const asLine = (render: (entry: Entry) => string) =>
    winston.format.printf((info) => {
      const line = render(info as unknown as Entry); // What `write` below hands over.
      return mask(maskTokens(maskUrlPasswords(line)));
    });
  const json = settings.logFormat === 'json';
  const collector = collectorOf(settings, (level, event, fields) => write(level)(event, fields));
  const log = winston.createLogger({
    level: settings.logLevel,
    format: asLine(json ? asJson : asText),
    transports: [
      ...transportsFor(settings.logFile),
      // A collector gets JSON in any case.
      ...(collector === undefined ? [] : [collectorTransport(collector, json ? undefined : asLine(asJson))]),
    ],
  });
  const write =
    (level: Entry['level']) =>
    (event: string, fields: object = {}) => {
      // Before anything is made of it: most lines are below the level, and there is one for every request.
      if (!log.isLevelEnabled(level)) return;
      const at = new Date().toISOString();
      log.log({
        level,
        message: event,
        entry: { timestamp: at, level, event, logger: options.logger, service: 'orchestrator' },
        fields,
      });
    };
  return {
    debug: write('debug'),
    info: write('info'),
    warn: write('warn'),
    error: write('error'),
    isEnabled: (level) => log.isLevelEnabled(level),
    async close() {
      await end(log);
      await collector?.close();
    },
  };
}

interface Entry {
  level: 'debug' | 'info' | 'warn' | 'error';
  entry: { timestamp: string; level: string; event: string; logger: string; service: string };
  fields: object;
}

function transportsFor(logFile: string | undefined): winston.transport[] {
  const console = new winston.transports.Console();
  if (logFile === undefined) return [console];
  try {
    const stream = rotatingFile(logFile, { maxBytes: FILE_BYTES, older: OLDER_FILES });
    return [console, new winston.transports.Stream({ stream, eol: '\n' })];
  } catch {
    return [console]; // A container without a writable folder still logs.
  }
}

function collectorOf(
  { logCollectorUrl: url, shutdownGraceSeconds = Number.POSITIVE_INFINITY }: LogSettings,
  write: (level: Entry['level'], event: string, fields: object) => void,
): LogCollector | undefined {
  if (url === undefined) return undefined;
  return createLogCollector({
    url,
    limits: { graceMs: Math.min(COLLECTOR_LIMITS.graceMs, shutdownGraceSeconds * 1_000) },
    onChange({ reachable, dropped }) {
      if (reachable) write('info', 'log_collector_reached', { dropped });
      else write('warn', 'log_collector_unreachable', { dropped });
    },
  });
}

function collectorTransport(collector: LogCollector, format: winston.Logform.Format | undefined): winston.transport {
  const stream = new Writable({
    decodeStrings: false,
    write(line: string | Buffer, _encoding, done) {
      collector.take(String(line));
      done();
    },
  });
  return new winston.transports.Stream({ stream, eol: '', ...(format === undefined ? {} : { format }) });
}

function end(log: winston.Logger): Promise<void> {
  return new Promise((resolve) => {
    log.once('finish', () => resolve());
    log.end();
  });
}

function asJson({ entry, fields }: Entry): string {
  return safely(() => JSON.stringify({ ...entry, ...plain(fields) }, readable), entry);
}

function asText({ entry, fields }: Entry): string {
  const words = Object.entries(plain(fields))
    .filter(([, value]) => value !== undefined)
    .map(([key, field]) => {
      const value = readable(key, field);
      return ` ${key}=${typeof value === 'string' ? quoted(value) : safely(() => JSON.stringify(value, readable), entry)}`;
    });
  return `${entry.timestamp} ${entry.level.toUpperCase().padEnd(5)} [${entry.logger}] ${entry.event}${words.join('')}`;
}

/** A field may not replace one that says when and from where the line is. */
function plain(fields: object): Record<string, unknown> {
  const {
    timestamp: _t,
    level: _l,
    event: _e,
    logger: _g,
    service: _s,
    ...rest
  } = (fields instanceof Error ? { error: fields } : fields) as Record<string, unknown>;
  return rest;
}

function quoted(text: string): string {
  return /^[^\s"=]+$/.test(text) ? text : JSON.stringify(text);
}

/** Errors have no enumerable fields and bigints no JSON; what is a secret by its name is none of a log's business. */
function readable(key: string, value: unknown): unknown {
  if (typeof value === 'string') return isSecretKey(key) ? MASK : value;
  if (typeof value === 'bigint') return value.toString();
  if (!(value instanceof Error)) return value;
  const { code } = value as { code?: unknown };
  return { name: value.name, message: value.message, code, stack: value.stack, cause: value.cause };
}

/** A line that cannot be written (a cycle) still says that it was there. */
function safely(write: () => string, entry: Entry['entry']): string {
  try {
    return write();
  } catch {
    return JSON.stringify({ ...entry, unreadable: true });
  }
}
