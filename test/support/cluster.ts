/** A cluster as the kubectl double has it: a folder. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { projectRoot } from '../../src/project-root.ts';
import type { Environment } from '../harness/processes/process.ts';
import type { TestAction } from './test-task.ts';

export interface KubectlCall {
  args: string[];
  pid: number;
  /** The names of its variables. */
  environment: string[];
}

export interface Cluster {
  /** Of a service that uses it. */
  environment: Environment;
  calls(): KubectlCall[];
  /** Those of one verb that name this Job; of `apply`, all. */
  callsOf(verb: string, name?: string): KubectlCall[];
  /** The names of what is there. */
  names(kind: 'jobs' | 'podgroups', namespace?: string): string[];
  /** As it was applied. */
  object(kind: 'jobs' | 'podgroups', name: string, namespace?: string): Record<string, unknown> | undefined;
  put(kind: 'jobs' | 'podgroups', name: string, labels: Record<string, string>): void;
  /** As the cluster itself does when its time is over. */
  expire(name: string): void;
  /** The processes of calls that got stuck. */
  stuck(): number[];
  /** What the double did not expect. */
  faults(): string;
  remove(): void;
}

export const NAMESPACE = 'soma-agent-hub';

export function makeCluster(): Cluster {
  const folder = mkdtempSync(path.join(tmpdir(), 'cluster-'));
  const read = (name: string) => {
    const file = path.join(folder, name);
    return existsSync(file) ? readFileSync(file, 'utf8') : '';
  };
  const fileOf = (kind: string, name: string, namespace: string) => path.join(folder, kind, namespace, `${name}.json`);
  const calls = () =>
    read('calls')
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as KubectlCall); // The double has written it.
  return {
    environment: {
      ENABLE_VOLCANO_SCHEDULER: 'true',
      KUBECTL_BINARY: path.join(projectRoot(), 'test/support/kubectl-double.mjs'),
      KUBECTL_ENV: 'KUBECTL_DOUBLE',
      KUBECTL_DOUBLE: folder,
      PATH: process.env['PATH'] ?? '',
    },
    calls,
    callsOf: (verb, name = '') => calls().filter(({ args }) => args[0] === verb && args.join(' ').includes(name)),
    names(kind, namespace = NAMESPACE) {
      const place = path.join(folder, kind, namespace);
      const files = existsSync(place) ? readdirSync(place) : [];
      return files.flatMap((file) => (file.endsWith('.json') ? [file.slice(0, -'.json'.length)] : []));
    },
    object(kind, name, namespace = NAMESPACE) {
      const file = fileOf(kind, name, namespace);
      return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : undefined;
    },
    put(kind, name, labels) {
      const file = fileOf(kind, name, NAMESPACE);
      mkdirSync(path.dirname(file), { recursive: true });
      writeFileSync(file, JSON.stringify({ metadata: { name, namespace: NAMESPACE, labels } }));
    },
    expire: (name) => rmSync(fileOf('jobs', name, NAMESPACE)),
    stuck: () => read('stuck').split(/\s+/).filter(Boolean).map(Number),
    faults: () => read('faults'),
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}

/** An action that runs a Job, in one attempt. */
export const job = (config: object, more: object = { retry: { max_attempts: 1 } }): TestAction => ({
  ...{ action_id: 'job', action_type: 'kubernetes_job', config },
  ...more,
});

/** Commands that the double knows: after so many milliseconds, with so many lines of logs. */
export const ends = (afterMs: number, lines = 0) => ['ends', String(afterMs), String(lines)];
export const fails = (afterMs: number) => ['fails', String(afterMs)];

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
