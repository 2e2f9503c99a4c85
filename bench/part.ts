/** The API or a worker of the built program as a process of its own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';

export interface Part {
  name: string;
  pid: number;
  port: number;
  isAlive(): boolean;
  signal(signal: NodeJS.Signals): void;
  ended: Promise<unknown>;
  stop(): Promise<void>;
}

export interface PartOptions {
  name: 'api' | 'worker';
  /** A folder without an .env. */
  folder: string;
  environment: Record<string, string>;
  flags?: string[];
  /** Where its log goes; a file descriptor, or what this process writes to. */
  output?: number | 'inherit';
}

const READY_MS = 60_000;
const programs = path.resolve(import.meta.dirname, '../dist/bin');

/** Resolves once it serves. */
export async function launchPart({ name, folder, environment, flags = [], output }: PartOptions): Promise<Part> {
  const to = output ?? 'inherit';
  const child = spawn(process.execPath, [...flags, path.join(programs, `${name}.js`)], {
    cwd: folder,
    env: environment,
    stdio: ['ignore', to, to, 'ipc'],
  });
  const ended = once(child, 'exit');
  const port = await portOf(child, name).catch((error: unknown) => {
    child.kill('SIGKILL');
    throw error;
  });
  const isAlive = () => child.exitCode === null && child.signalCode === null;
  return {
    name,
    port,
    pid: child.pid ?? 0,
    isAlive,
    signal: (signal) => void child.kill(signal),
    ended,
    async stop() {
      if (!isAlive()) return;
      child.kill('SIGTERM');
      await ended;
    },
  };
}

async function portOf(child: ChildProcess, name: string): Promise<number> {
  const late = AbortSignal.timeout(READY_MS);
  const [message] = (await Promise.race([
    once(child, 'message', { signal: late }),
    once(child, 'exit').then(() => {
      throw new Error(`the ${name} ended before it was ready`);
    }),
  ])) as [{ ready: boolean; port: number }]; // What `runProcess` tells its supervisor.
  return message.port;
}

/** Brings the database of this environment up to date. */
export async function runMigrate(folder: string, environment: Record<string, string>): Promise<void> {
  const child = spawn(process.execPath, [path.join(programs, 'migrate.js')], {
    cwd: folder,
    env: environment,
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const [code] = await once(child, 'exit');
  if (code !== 0) throw new Error('the migration failed');
}
