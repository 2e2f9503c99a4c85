/**
 * Keeps child processes running.
 *
 * A child is *running* from its fork until it exits. An exit that was not requested makes it *resting*: it is started again after
 * a delay that doubles with each such exit in a row (a child that was up for a while starts from the shortest delay again).
 * `stop` makes all of them *stopped*: SIGTERM, and SIGKILL for those that are still there when their time is up.
 * A child that says it can never start (exit code 78), or that never became ready in several tries, ends the supervision.
 */
import { type ChildProcess, fork } from 'node:child_process';

export interface ChildSpec {
  name: string;
  module: string;
  environment: Readonly<Record<string, string | undefined>>;
}

export interface SupervisorOptions {
  children: readonly ChildSpec[];
  say(line: string): void;
  minDelayMs?: number;
  maxDelayMs?: number;
  /** Up for this long, a child counts as healthy. */
  healthyMs?: number;
  /** This often it may end before it has been ready once. */
  maxFalseStarts?: number;
}

export interface Supervisor {
  start(): void;
  /** Resolves to what the child said when it was ready (`{ready: true, port}`); again after each restart. */
  ready(name: string): Promise<{ port: number }>;
  /** Stops and starts every child, for code that has changed. */
  restart(graceMs: number): Promise<void>;
  stop(graceMs: number): Promise<void>;
  /** Rejects when a child cannot be kept running. */
  failed: Promise<never>;
  pidOf(name: string): number | undefined;
}

/** EX_CONFIG of sysexits.h: trying again cannot help. */
export const EXIT_CANNOT_START = 78;

export function createSupervisor(options: SupervisorOptions): Supervisor {
  let fail: (error: Error) => void = () => undefined;
  const failed = new Promise<never>((_, reject) => {
    fail = reject;
  });
  failed.catch(() => undefined); // Waiting for it is optional.
  const children = new Map(
    options.children.map((spec) => [spec.name, keepRunning(spec, options, (error) => fail(error))]),
  );
  const all = () => [...children.values()];
  return {
    failed,
    start() {
      for (const child of all()) child.start();
    },
    ready: (name) => named(children, name).ready(),
    async restart(graceMs) {
      await Promise.all(all().map((child) => child.stop(graceMs)));
      for (const child of all()) child.start();
    },
    async stop(graceMs) {
      await Promise.all(all().map((child) => child.stop(graceMs)));
    },
    pidOf: (name) => named(children, name).pid(),
  };
}

interface Supervised {
  start(): void;
  stop(graceMs: number): Promise<void>;
  ready(): Promise<{ port: number }>;
  pid(): number | undefined;
}

function named(children: Map<string, Supervised>, name: string): Supervised {
  const child = children.get(name);
  if (child === undefined) throw new Error(`There is no child "${name}"`);
  return child;
}

function keepRunning(spec: ChildSpec, options: SupervisorOptions, fail: (error: Error) => void): Supervised {
  const { minDelayMs = 500, maxDelayMs = 30_000, healthyMs = 60_000, maxFalseStarts = 5 } = options;
  let running: ChildProcess | undefined;
  let ended: Promise<void> = Promise.resolve();
  let resting: NodeJS.Timeout | undefined;
  let stopping = false;
  let exitsInARow = 0;
  let everReady = false;
  /** Of the child that is ready now. */
  let port: number | undefined;
  let waiting: Array<(ready: { port: number }) => void> = [];

  function start(): void {
    stopping = false;
    resting = undefined;
    const startedAt = performance.now();
    const child = fork(spec.module, [], { env: spec.environment, stdio: 'inherit' });
    running = child;
    child.on('message', (message) => {
      const ready = readyPort(message);
      if (ready === undefined || running !== child) return;
      everReady = true;
      port = ready;
      for (const resolve of waiting) resolve({ port });
      waiting = [];
    });
    ended = new Promise((resolve) => {
      const onEnd = (how: string, code: number | null) => {
        if (running !== child) return; // Both events of one child.
        running = undefined;
        port = undefined;
        resolve();
        if (!stopping) rest(how, code, performance.now() - startedAt);
      };
      child.once('exit', (code, signal) => onEnd(signal ?? `code ${code}`, code));
      child.once('error', (error) => onEnd(error.message, null));
    });
  }

  function rest(how: string, code: number | null, upMs: number): void {
    exitsInARow = upMs >= healthyMs ? 1 : exitsInARow + 1;
    if (code === EXIT_CANNOT_START || (!everReady && exitsInARow >= maxFalseStarts)) {
      fail(new Error(`The ${spec.name} does not start (${how}): its last lines say why.`));
      return;
    }
    const delayMs = Math.min(minDelayMs * 2 ** (exitsInARow - 1), maxDelayMs);
    options.say(`The ${spec.name} ended (${how}); it is started again in ${delayMs / 1000} s.`);
    resting = setTimeout(start, delayMs);
  }

  return {
    start,
    ready: () => (port === undefined ? new Promise((resolve) => waiting.push(resolve)) : Promise.resolve({ port })),
    pid: () => running?.pid,
    async stop(graceMs) {
      stopping = true;
      clearTimeout(resting);
      if (running === undefined) return;
      const child = running;
      child.kill('SIGTERM');
      const killTimeout = setTimeout(() => {
        options.say(`The ${spec.name} did not end in ${graceMs / 1000} s and is killed.`);
        child.kill('SIGKILL');
      }, graceMs);
      await ended;
      clearTimeout(killTimeout);
      exitsInARow = 0;
    },
  };
}

function readyPort(message: unknown): number | undefined {
  if (typeof message !== 'object' || message === null || !('ready' in message) || !('port' in message))
    return undefined;
  return typeof message.port === 'number' ? message.port : undefined;
}
