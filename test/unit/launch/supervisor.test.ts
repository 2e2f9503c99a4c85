import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { isAlive } from '../../../src/launch/processes.ts';
import { createSupervisor, type Supervisor, type SupervisorOptions } from '../../../src/launch/supervisor.ts';
import { projectRoot } from '../../../src/project-root.ts';
import { until } from '../../harness/until.ts';

let folder: string;
let log: string;
let said: string[];
let supervisor: Supervisor | undefined;

beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'supervisor-'));
  log = path.join(folder, 'log');
  said = [];
});
afterEach(async () => {
  await supervisor?.stop(0);
  rmSync(folder, { recursive: true, force: true });
});

function begin(behaviour: string, more: Partial<SupervisorOptions> = {}): Supervisor {
  const module = path.join(projectRoot(), 'test/support/children/child.mjs');
  const environment = { PATH: process.env['PATH'], LOG: log, BEHAVIOUR: behaviour };
  supervisor = createSupervisor({
    children: [{ name: 'child', module, environment }],
    say: (line) => said.push(line),
    minDelayMs: 20,
    maxDelayMs: 100,
    maxFalseStarts: 1_000,
    ...more,
  });
  supervisor.start();
  return supervisor;
}

function steps(): string[] {
  return existsSync(log) ? readFileSync(log, 'utf8').trim().split('\n') : [];
}
const count = (step: string) => steps().filter((line) => line.startsWith(step)).length;

test('a child that is killed is started again and becomes ready again', async () => {
  const running = begin('work');
  expect(await running.ready('child')).toEqual({ port: 4711 });
  const first = running.pidOf('child');
  process.kill(first ?? 0, 'SIGKILL');
  await until(() => count('started') === 2);
  await running.ready('child');
  expect(running.pidOf('child')).not.toBe(first);
  expect(said).toEqual(['The child ended (SIGKILL); it is started again in 0.02 s.']);
});

test('a child that keeps crashing is started again after longer and longer, but no longer than the longest, delays', async () => {
  begin('crash');
  await until(() => said.length >= 5);
  expect(said.slice(0, 5).map((line) => /in ([\d.]+) s/.exec(line)?.[1])).toEqual([
    '0.02',
    '0.04',
    '0.08',
    '0.1',
    '0.1',
  ]);
});

test('a child that was up for a while is started again after the shortest delay', async () => {
  const running = begin('work', { healthyMs: 1 });
  for (let crash = 1; crash <= 3; crash += 1) {
    await running.ready('child');
    process.kill(running.pidOf('child') ?? 0, 'SIGKILL');
    await until(() => said.length === crash);
  }
  expect(new Set(said)).toEqual(new Set(['The child ended (SIGKILL); it is started again in 0.02 s.']));
});

test('stopping lets a child drain and does not start it again', async () => {
  const running = begin('work');
  await running.ready('child');
  await running.stop(5_000);
  expect(steps().map((line) => line.split(' ')[0])).toEqual(['started', 'term', 'drained']);
  expect(running.pidOf('child')).toBeUndefined();
  expect(said).toEqual([]);
});

test('a child that does not end in time is killed', async () => {
  const running = begin('deaf');
  await running.ready('child');
  const pid = running.pidOf('child') ?? 0;
  await running.stop(200);
  expect(count('term')).toBe(1);
  expect(isAlive(pid)).toBe(false);
});

test('stopping while a child rests means that it is not started again', async () => {
  const running = begin('crash', { minDelayMs: 60_000, maxDelayMs: 60_000 });
  await until(() => said.length === 1);
  await running.stop(1_000);
  expect(count('started')).toBe(1);
});

test('a child that says it can never start ends the supervision', async () => {
  await expect(begin('cannot-start').failed).rejects.toThrow('does not start');
  expect(count('started')).toBe(1);
});

test('a child that never becomes ready ends the supervision after a few tries', async () => {
  await expect(begin('crash', { maxFalseStarts: 3 }).failed).rejects.toThrow('does not start');
  expect(count('started')).toBe(3);
});

test('a restart stops the old process before the new one begins', async () => {
  const running = begin('work');
  await running.ready('child');
  await running.restart(5_000);
  await running.ready('child');
  expect(steps().map((line) => line.split(' ')[0])).toEqual(['started', 'term', 'drained', 'started']);
});
