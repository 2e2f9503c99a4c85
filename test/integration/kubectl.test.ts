/** Processes of kubectl: what they get, what is kept of what they write, and how they end. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createKubectl, KubectlUnavailable } from '../../src/features/kubernetes/kubectl.ts';
import { until } from '../harness/until.ts';

const KEY = { namespace: 'jobs', name: 'job-1' };
const never = new AbortController().signal;
let folder: string;

beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'kubectl-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function kubectlOf(script: string) {
  const program = path.join(folder, `kubectl-${Math.random()}`);
  writeFileSync(program, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  return createKubectl({ program, environment: { PATH: process.env['PATH'] ?? '', ONLY: 'this' } });
}

test('it gets its environment alone, and the manifest by standard input', async () => {
  const kubectl = kubectlOf('printf "%s|" "$@"; printf "%s|%s|" "$ONLY" "$HOME"; cat');
  const end = await kubectl.apply('{"a": "$(date) `id`"}', never);
  expect(end).toMatchObject({ code: 0, stderr: '' });
  expect(end.stdout.toString()).toBe('apply|-f|-|this||{"a": "$(date) `id`"}');
});

test('one that ends without reading is not waited for, and what it says is kept', async () => {
  const end = await kubectlOf('echo "Error from server" >&2; exit 1').apply('x'.repeat(2_000_000), never);
  expect(end).toMatchObject({ code: 1, stderr: 'Error from server' });
});

test('of what it writes the end is kept', async () => {
  const kubectl = kubectlOf('i=0; while [ $i -lt 20000 ]; do echo "line $i"; i=$((i + 1)); done');
  const { stdout } = await kubectl.logs(KEY, 1_000, never);
  expect(stdout.length).toBeLessThanOrEqual(2_000);
  expect(stdout.toString()).toMatch(/line 19998\nline 19999\n$/);
});

test('one that is not there says so', async () => {
  const kubectl = createKubectl({ program: path.join(folder, 'none'), environment: {} });
  await expect(kubectl.find(KEY, never)).rejects.toThrow(KubectlUnavailable);
});

test('when it is stopped its whole group is, also what ignores being asked to end', async () => {
  const pids = path.join(folder, 'pids');
  const kubectl = kubectlOf(`trap '' TERM INT HUP; sleep 1000 & echo $$ $! > ${pids}; wait`);
  const stop = new AbortController();
  const waits = kubectl.wait(KEY, 1_000, stop.signal);
  const found = await until(() => {
    try {
      const both = readFileSync(pids, 'utf8').trim().split(' ').map(Number);
      return both.length === 2 && both;
    } catch {
      return undefined;
    }
  });
  const reason = new Error('cancelled');
  stop.abort(reason);
  await expect(waits).rejects.toBe(reason);
  await until(() => found.every((pid) => !isAlive(pid)));
});

test('one that is stopped before is not started', async () => {
  await expect(kubectlOf('exit 0').find(KEY, AbortSignal.abort(new Error('too late')))).rejects.toThrow('too late');
});

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
