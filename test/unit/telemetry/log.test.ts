import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createLog, type LogSettings } from '../../../src/telemetry/log.ts';
import { rotatingFile } from '../../../src/telemetry/rotating-file.ts';

let folder: string;
let settings: LogSettings;

beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'log-'));
  settings = { logLevel: 'info', logFormat: 'json', logFile: path.join(folder, 'logs', 'automation.log'), hidden: [] };
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

function lines(): string[] {
  return readFileSync(settings.logFile ?? '', 'utf8')
    .trim()
    .split('\n');
}

test('each line is one JSON object with the event and its fields', async () => {
  const log = createLog(settings, { logger: 'api' });
  log.info('run.accepted', { run_id: 'r1', attempt: 2 });
  await log.close();
  const entry = JSON.parse(lines()[0] ?? '');
  expect(entry).toMatchObject({
    level: 'info',
    event: 'run.accepted',
    logger: 'api',
    service: 'orchestrator',
    run_id: 'r1',
    attempt: 2,
  });
  expect(new Date(entry.timestamp).toISOString()).toBe(entry.timestamp);
});

test('what is below the level is left out', async () => {
  const log = createLog({ ...settings, logLevel: 'warn' }, { logger: 'api' });
  log.debug('a');
  log.info('b');
  log.warn('c');
  log.error('d');
  await log.close();
  expect(lines().map((line) => JSON.parse(line).event)).toEqual(['c', 'd']);
});

test('text is for people', async () => {
  const log = createLog({ ...settings, logFormat: 'text' }, { logger: 'worker' });
  log.warn('task.failed', { run_id: 'r1', error: 'it broke' });
  await log.close();
  expect(lines()[0]).toMatch(/^\S+Z WARN {2}\[worker\] task\.failed run_id=r1 error="it broke"$/);
});

test('secrets and passwords in URLs never reach the log', async () => {
  const log = createLog({ ...settings, hidden: ['key-12345678'] }, { logger: 'api' });
  log.info('connecting with key-12345678', {
    url: 'postgresql://me:hunter2@db:5432/x',
    nested: { authorization: 'Bearer key-12345678' },
    error: new Error('refused redis://:pass%20word@cache:6379'),
  });
  await log.close();
  const text = lines().join('\n');
  expect(text).not.toMatch(/key-12345678|hunter2|pass%20word/);
  expect(text).toContain('postgresql://me:***@db:5432/x');
});

test('an error is written with its message and cause', async () => {
  const log = createLog(settings, { logger: 'api' });
  log.error('failed', { error: new Error('outer', { cause: new Error('inner') }) });
  await log.close();
  expect(JSON.parse(lines()[0] ?? '').error).toMatchObject({ message: 'outer', cause: { message: 'inner' } });
});

test('what cannot be written as JSON does not throw', async () => {
  const log = createLog(settings, { logger: 'api' });
  const loop: { self?: object } = {};
  loop.self = loop;
  log.info('loop', { loop });
  log.info('big', { value: 10n });
  await log.close();
  expect(lines().map((line) => JSON.parse(line).event)).toEqual(['loop', 'big']);
});

test('a folder that cannot be made leaves the console', async () => {
  const log = createLog({ ...settings, logFile: '/dev/null/logs/automation.log' }, { logger: 'api' });
  log.info('still here');
  await log.close();
});

test('a full file is moved aside and five older ones are retained', () => {
  const file = path.join(folder, 'small.log');
  const stream = rotatingFile(file, { maxBytes: 1_000, older: 5 });
  for (let number = 0; number < 200; number += 1) stream.write(`line ${number} ${'x'.repeat(90)}\n`);
  stream.end();
  const names = ['', '.1', '.2', '.3', '.4', '.5'].map((end) => `small.log${end}`);
  expect(readdirSync(folder).sort()).toEqual(names);
  for (const name of names) expect(statSync(path.join(folder, name)).size).toBeLessThan(1_200);
  const kept = names.reverse().flatMap((name) => readFileSync(path.join(folder, name), 'utf8').trim().split('\n'));
  const numbers = kept.map((line) => Number(line.split(' ')[1]));
  expect(numbers).toEqual(Array.from({ length: kept.length }, (_, index) => 200 - kept.length + index));
});

test('two processes may share the file: neither loses a line when the other moves it aside', () => {
  const file = path.join(folder, 'shared.log');
  const streams = [
    rotatingFile(file, { maxBytes: 2_000, older: 5 }),
    rotatingFile(file, { maxBytes: 2_000, older: 5 }),
  ];
  for (let number = 0; number < 40; number += 1)
    for (const stream of streams) stream.write(`line ${number} ${'x'.repeat(90)}\n`);
  for (const stream of streams) stream.end();
  const all = readdirSync(folder).flatMap((name) => readFileSync(path.join(folder, name), 'utf8').trim().split('\n'));
  expect(all.filter((line) => line !== '')).toHaveLength(80);
});
