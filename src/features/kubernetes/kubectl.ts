/**
 * Runs kubectl, without a shell and in a process group of its own: at the end of its time and when it is stopped the whole
 * group is killed, so that neither it nor a plugin that it started for a login goes on.
 */
import { spawn } from 'node:child_process';
import { errorMessage } from '../../domain/texts/error-message.ts';
import type { JobKey } from './domain.ts';

export interface KubectlDeps {
  /** A path, or a name to be found in the PATH of `environment`. */
  program: string;
  /** All of its environment. */
  environment: Readonly<Record<string, string>>;
}

/** What it wrote, and how it ended. */
export interface KubectlEnd {
  /** Its exit code; null: a signal ended it. */
  code: number | null;
  stdout: Buffer;
  stderr: string;
}

/** It could not be run, or has not answered in time: nothing is known of the cluster. */
export class KubectlUnavailable extends Error {
  override readonly name = 'KubectlUnavailable';
}

interface Call {
  args: readonly string[];
  stdin?: string;
  timeoutMs: number;
  signal: AbortSignal;
  /** Of what it writes at most so many last bytes. */
  keptBytes?: number;
}

/** For calls that wait for nothing. */
const CALL_MS = 30_000;
/** `kubectl wait` ends by itself; this is for one that does not. */
const WAIT_MARGIN_MS = 10_000;
const KEPT_BYTES = 1024 * 1024;
const STDERR_BYTES = 8 * 1024;

export type Kubectl = ReturnType<typeof createKubectl>;

export function createKubectl(deps: KubectlDeps) {
  const short = (args: readonly string[], signal: AbortSignal, stdin?: string) =>
    run(deps, { args, signal, timeoutMs: CALL_MS, ...(stdin === undefined ? {} : { stdin }) });
  const at = (namespace: string) => ['-n', namespace] as const;
  return {
    /** The manifest goes through standard input alone: others on this machine can read the arguments of a process. */
    apply: (manifest: string, signal: AbortSignal) => short(['apply', '-f', '-'], signal, manifest),
    /** Writes nothing where there is none. */
    find: ({ namespace, name }: JobKey, signal: AbortSignal) =>
      short(['get', `job/${name}`, '-o', 'json', ...at(namespace), '--ignore-not-found'], signal),
    wait: ({ namespace, name }: JobKey, seconds: number, signal: AbortSignal) =>
      run(deps, {
        args: ['wait', `job/${name}`, '--for=condition=complete', `--timeout=${seconds}s`, ...at(namespace)],
        timeoutMs: seconds * 1_000 + WAIT_MARGIN_MS,
        signal,
      }),
    logs: ({ namespace, name }: JobKey, keptBytes: number, signal: AbortSignal) =>
      run(deps, { args: ['logs', `job/${name}`, ...at(namespace)], timeoutMs: CALL_MS, signal, keptBytes }),
    /** Resolves when it is gone. */
    remove: (kind: 'job' | 'podgroup', { namespace, name }: JobKey, signal: AbortSignal) =>
      short(['delete', `${kind}/${name}`, ...at(namespace), '--ignore-not-found'], signal),
    /** The names of all that the selector finds. */
    list: (kind: 'jobs' | 'podgroups', namespace: string, selector: string, signal: AbortSignal) =>
      short(['get', kind, '-l', selector, '-o', 'name', ...at(namespace)], signal),
  };
}

/** Rejects with the signal's reason when that aborts, and with `KubectlUnavailable` when its time is over. */
function run({ program, environment }: KubectlDeps, call: Call): Promise<KubectlEnd> {
  const { args, stdin, signal, timeoutMs, keptBytes = KEPT_BYTES } = call;
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const child = spawn(program, args, { env: environment, detached: true, stdio: ['pipe', 'pipe', 'pipe'] });
    const stdout = lastBytes(keptBytes);
    const stderr = lastBytes(STDERR_BYTES);
    child.stdout.on('data', stdout.add);
    child.stderr.on('data', stderr.add);
    // It may end without reading.
    child.stdin.on('error', () => undefined);
    child.stdin.end(stdin);

    let settled = false;
    const settle = (end: () => void) => {
      if (settled) return;
      settled = true;
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
      // One of its group that lives on keeps no pipe of ours.
      for (const stream of [child.stdin, child.stdout, child.stderr]) stream.destroy();
      end();
    };
    const stop = (error: unknown) => {
      killGroup(child.pid);
      settle(() => reject(error));
    };
    const onAbort = () => stop(signal.reason);
    const slow = () => new KubectlUnavailable(`kubectl ${args[0]} has not ended within ${timeoutMs / 1_000} s`);
    const timer = setTimeout(() => stop(slow()), timeoutMs);
    signal.addEventListener('abort', onAbort, { once: true });
    child.once('error', (error) =>
      settle(() => reject(new KubectlUnavailable(`kubectl cannot be run: ${errorMessage(error)}`, { cause: error }))),
    );
    child.once('close', (code) =>
      settle(() => resolve({ code, stdout: stdout.all(), stderr: stderr.all().toString('utf8').trim() })),
    );
  });
}

/** The child leads its group. */
function killGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // It has ended.
  }
}

function lastBytes(most: number) {
  let chunks: Buffer[] = [];
  let size = 0;
  return {
    add(chunk: Buffer) {
      chunks.push(chunk);
      size += chunk.length;
      // Twice as much at most is held, so that each byte is copied about once.
      if (size <= 2 * most) return;
      chunks = [Buffer.concat(chunks).subarray(-most)];
      size = most;
    },
    all: () => Buffer.concat(chunks),
  };
}
