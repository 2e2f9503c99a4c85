/** The API or a worker of the built program as a process of its own. */
import { type ChildProcess, spawn } from 'node:child_process';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { bareEnvironment } from '../../../src/config/config.ts';
import { projectRoot } from '../../../src/project-root.ts';
import { until } from '../until.ts';

export type Environment = Record<string, string>;

export interface Child {
  kind: 'api' | 'worker';
  pid: number;
  /** Undefined until it is ready. */
  readonly port: number | undefined;
  /** The events that it has logged. */
  events: string[];
  isAlive(): boolean;
  /** Resolves to its exit code; null when a signal ended it. */
  ended: Promise<number | null>;
  signal(signal: NodeJS.Signals): void;
  /** Sends the signal and resolves to the exit code; null when the signal ended it. */
  end(signal: NodeJS.Signals): Promise<number | null>;
}

/** What takes half a minute in production takes seconds here. */
export const HURRIED = { LOCK_DURATION_MS: '1500', STALLED_INTERVAL_MS: '1000', RECONCILE_SECONDS: '1' };
const START_MS = 120_000;

export interface ProcessOptions {
  kind: Child['kind'];
  /** A folder with a dist/ that is compiled and not bundled; left out: the programs of this checkout, as they are delivered. */
  root?: string;
  cwd: string;
  /** All that it knows of where it is: nothing of this process's own environment. */
  settings: Environment;
  /** Of Node itself. */
  flags?: readonly string[];
  /** A line of its log, with who wrote it. */
  onLine?(line: string): void;
}

/** Resolves once it is ready; rejects, with what it said, when it ends before, unless a failpoint was to end it. */
export async function startProcess({ kind, root, cwd, settings, flags = [], onLine }: ProcessOptions): Promise<Child> {
  const said: string[] = [];
  const programs = root === undefined ? path.join(projectRoot(), 'dist/bin') : path.join(root, 'dist/src/bin');
  const program = path.join(programs, `${kind}.js`);
  const child = spawn(process.execPath, [...flags, program], {
    cwd,
    env: { ...bareEnvironment(), ...settings },
    // As a supervisor has it, which is told when the process is ready.
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  const started = follow(child, kind, (line) => {
    if (said.length < 100) said.push(line);
    onLine?.(line);
  });
  await until(() => started.port !== undefined || !started.isAlive(), {
    what: `the ${kind} is ready`,
    timeoutMs: START_MS,
  }).catch(async (error: unknown) => {
    await started.end('SIGKILL');
    throw error;
  });
  // A worker takes jobs before it can say that it is ready.
  const { FAILPOINTS = '' } = settings;
  const asked = FAILPOINTS.includes(':exit') && child.signalCode === 'SIGKILL';
  if (!started.isAlive() && !asked) throw new Error(`the ${kind} ended at its start:\n${said.slice(-20).join('\n')}`);
  return started;
}

function follow(child: ChildProcess, kind: Child['kind'], onLine: (line: string) => void): Child {
  const events: string[] = [];
  let port: number | undefined;
  const ended = new Promise<number | null>((resolve) => {
    child.once('exit', (code) => resolve(code));
    child.once('error', () => resolve(-1));
  });
  for (const stream of [child.stdout, child.stderr]) {
    if (stream === null) continue;
    createInterface(stream).on('line', (line) => {
      if (line.includes('"http request"')) return;
      onLine(`${kind} ${child.pid}: ${line}`);
      const event = /"event":"([^"]+)"/.exec(line)?.[1];
      if (event !== undefined) events.push(event);
    });
  }
  child.on('message', (message: { port: number }) => {
    port = message.port; // What `runProcess` tells its supervisor.
  });
  const isAlive = () => child.exitCode === null && child.signalCode === null;
  return {
    kind,
    pid: child.pid ?? 0,
    get port() {
      return port;
    },
    events,
    isAlive,
    ended,
    signal: (signal) => void child.kill(signal),
    async end(signal) {
      child.kill(signal);
      return ended;
    },
  };
}

/** Asks it to end, even one that stands still; what has not ended by itself by then is killed. */
export async function endOrKill(child: Child, patienceMs: number): Promise<'ended' | 'killed'> {
  if (!child.isAlive()) return 'ended';
  child.signal('SIGCONT');
  child.signal('SIGTERM');
  const late = setTimeout(() => child.signal('SIGKILL'), patienceMs);
  const code = await child.ended;
  clearTimeout(late);
  return code === null ? 'killed' : 'ended';
}
