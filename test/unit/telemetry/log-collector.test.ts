import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { createLog } from '../../../src/telemetry/log.ts';
import { type CollectorLimits, createLogCollector, type LogCollector } from '../../../src/telemetry/log-collector.ts';
import { until } from '../../harness/until.ts';
import { type Handle, type HttpServer, startHttpServer } from '../../support/http-server.ts';

const QUICK: Partial<CollectorLimits> = { gatherMs: 5, pauseMs: 5, firstRestMs: 10, longestRestMs: 20, graceMs: 5_000 };
const AT = new Date('2030-01-01T12:00:00.000Z');

const servers: HttpServer[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.close();
});

async function serve(handle: Handle = (_request, response) => void response.end()): Promise<HttpServer> {
  const server = await startHttpServer(handle);
  servers.push(server);
  return server;
}

const line = (event: string, more: object = {}) =>
  JSON.stringify({
    timestamp: AT.toISOString(),
    level: 'info',
    event,
    logger: 'api',
    service: 'orchestrator',
    ...more,
  });
const eventsOf = ({ body }: { body: string }): string[] =>
  body.split('\n').flatMap((text) => (text === '' ? [] : [(JSON.parse(text) as { event: string }).event]));
const allEvents = (server: HttpServer) => server.received.flatMap(eventsOf);
const collectorOf = (url: string, limits: Partial<CollectorLimits> = {}): LogCollector =>
  createLogCollector({ url, limits: { ...QUICK, ...limits }, now: () => AT });

test('lines that come within the gathering time are posted together, as JSON lines, to the path of the URL', async () => {
  const server = await serve();
  const collector = collectorOf(`${server.url.replace('//', '//me:p%40ss@')}/ingest?source=a`);
  for (const event of ['one', 'two', 'three']) collector.take(line(event, { run_id: 'r' }));
  await until(() => server.received.length > 0);
  const [request] = server.received;
  expect(request).toMatchObject({
    method: 'POST',
    path: '/ingest?source=a',
    headers: {
      'content-type': 'application/x-ndjson',
      authorization: `Basic ${Buffer.from('me:p@ss').toString('base64')}`,
    },
    body: `${['one', 'two', 'three'].map((event) => line(event, { run_id: 'r' })).join('\n')}\n`,
  });
  await collector.close();
  expect(server.received).toHaveLength(1);
});

test('an address without a path gets what the older log collector takes', async () => {
  const server = await serve();
  const collector = collectorOf(server.url);
  collector.take(line('run.accepted', { run_id: 'r', tenant_id: 't' }));
  await collector.close();
  expect(server.received).toHaveLength(1);
  expect(server.received[0]).toMatchObject({ path: '/logs/batch', headers: { 'content-type': 'application/json' } });
  expect(JSON.parse(server.received[0]?.body ?? '')).toEqual({
    items: [
      {
        service: 'orchestrator',
        level: 'info',
        message: 'run.accepted',
        timestamp: AT.toISOString(),
        context: { logger: 'api', run_id: 'r', tenant_id: 't' },
      },
    ],
  });
});

test('a batch has at most so many lines and bytes, one request is under way at a time, and the order stays', async () => {
  let open = 0;
  let most = 0;
  const server = await serve(async (_request, response) => {
    open += 1;
    most = Math.max(most, open);
    await new Promise((resolve) => setImmediate(resolve));
    open -= 1;
    response.end();
  });
  const collector = collectorOf(`${server.url}/in`, { batchLines: 3, batchBytes: 1_000 });
  const events = ['a', 'b', 'c', 'd', 'e'.repeat(950), 'f', 'g'.repeat(2_000), 'h'];
  for (const event of events) collector.take(line(event));
  await collector.close();
  expect(server.received.map((request) => eventsOf(request).map((event) => event[0]))).toEqual([
    ['a', 'b', 'c'],
    ['d'],
    ['e'],
    ['f'],
    ['g'],
    ['h'],
  ]);
  expect(most).toBe(1);
});

test('while the collector is away lines are kept, then dropped and counted; the first batch that arrives says how many', async () => {
  let received: readonly { body: string }[] = [];
  const changes: object[] = [];
  // Away until a batch says what was dropped: whichever was under way when the lines were dropped is still turned away.
  const isBack = () => received.some(({ body }) => body.includes('log_lines_dropped'));
  const server = await serve((_request, response) => void response.writeHead(isBack() ? 200 : 503).end());
  received = server.received;
  const collector = createLogCollector({
    url: `${server.url}/in`,
    limits: { ...QUICK, maxLines: 4 },
    onChange: (state) => changes.push(state),
    now: () => AT,
  });
  for (let number = 0; number < 4; number += 1) collector.take(line(`kept-${number}`));
  await until(() => server.received.length >= 2, { what: 'the batch was tried twice' });
  for (let number = 0; number < 1_000; number += 1) collector.take(line('lost'));
  await until(() => changes.length === 2);
  const tried = server.received.length;
  const arrived = server.received.at(-1);
  collector.take(line('after'));
  await collector.close();
  const dropped = {
    timestamp: AT.toISOString(),
    level: 'warn',
    event: 'log_lines_dropped',
    logger: 'log-collector',
    service: 'orchestrator',
    dropped: 1_000,
  };
  expect(arrived?.body.split('\n')[0]).toBe(JSON.stringify(dropped));
  expect(arrived && eventsOf(arrived)).toEqual(['log_lines_dropped', 'kept-0', 'kept-1', 'kept-2', 'kept-3']);
  expect(server.received.slice(tried).map(eventsOf)).toEqual([['after']]);
  expect(changes).toEqual([
    { reachable: false, dropped: 0 },
    { reachable: true, dropped: 1_000 },
  ]);
});

test('the buffer is bounded by its bytes too', async () => {
  const server = await serve();
  const collector = collectorOf(`${server.url}/in`, { maxBytes: 1_000 });
  for (const event of ['a', 'b'.repeat(900), 'c']) collector.take(line(event));
  await collector.close();
  expect(allEvents(server)).toEqual(['log_lines_dropped', 'a', 'c']);
});

test('a batch that is rejected for good is dropped and counted, and those behind it go on', async () => {
  const server = await serve(({ body }, response) => void response.writeHead(body.includes('bad') ? 400 : 200).end());
  const collector = collectorOf(`${server.url}/in`, { batchLines: 2 });
  for (const event of ['bad', 'also', 'good', 'fine']) collector.take(line(event));
  await until(() => server.received.length === 2);
  await collector.close();
  expect(server.received.map(eventsOf)).toEqual([
    ['bad', 'also'],
    ['log_lines_dropped', 'good', 'fine'],
  ]);
});

test('a collector that never answers holds nothing up: requests end at their time, and closing at the grace time', async () => {
  const hanging: ServerResponse[] = [];
  const server = await serve((_request, response) => void hanging.push(response));
  const collector = collectorOf(`${server.url}/in`, { timeoutMs: 20, graceMs: 60 });
  collector.take(line('one'));
  await until(() => server.received.length >= 2, { what: 'the request was given up and made again' });
  for (let number = 0; number < 20_000; number += 1) collector.take(line('more'));
  await collector.close();
  const requests = server.received.length;
  collector.take(line('after the end'));
  for (const response of hanging) response.destroy();
  expect(server.received.length).toBe(requests);
  expect(new Set(allEvents(server).slice(0, 1))).toEqual(new Set(['one']));
});

test('nobody listening is no fault either', async () => {
  const server = await serve();
  await server.close();
  servers.length = 0;
  const collector = collectorOf(`${server.url}/in`, { graceMs: 50 });
  collector.take(line('one'));
  await expect(collector.close()).resolves.toBeUndefined();
});

test('what is logged reaches the collector as masked JSON, also when the console and the file have text, up to the last line', async () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'log-collector-'));
  const server = await serve();
  const logFile = path.join(folder, 'automation.log');
  const webToken = `eyJhbGciOiJIUzI1NiJ9.${'eyJzdWIiOiJhIn0'}.c2lnbmF0dXJl`;
  try {
    const log = createLog(
      { logLevel: 'info', logFormat: 'text', logFile, logCollectorUrl: `${server.url}/in`, hidden: ['key-12345678'] },
      { logger: 'worker' },
    );
    log.debug('not for anybody');
    log.info('calls with key-12345678', {
      run_id: 'r1',
      url: 'https://me:hunter2@host/x',
      headers: { Authorization: 'Token abcdef', Cookie: 'a=b', accept: 'x' },
      sent: 'authorization: Bearer abcdefghijkl',
      given: `token ${webToken} here`,
      lease_token: 'lease-1',
      attempt: 2,
    });
    await log.close();
    const text = readFileSync(logFile, 'utf8');
    const sent = JSON.parse(server.received[0]?.body ?? '') as Record<string, unknown>;
    expect(sent).toEqual({
      timestamp: expect.any(String),
      level: 'info',
      event: 'calls with ***',
      logger: 'worker',
      service: 'orchestrator',
      run_id: 'r1',
      url: 'https://me:***@host/x',
      headers: { Authorization: '***', Cookie: '***', accept: 'x' },
      sent: 'authorization: Bearer ***',
      given: 'token *** here',
      lease_token: '***',
      attempt: 2,
    });
    expect(text).toMatch(/^\S+Z INFO {2}\[worker\] .*lease_token=\*\*\* attempt=2\n$/);
    expect(text).not.toMatch(/hunter2|abcdef|eyJ|key-1234|lease-1/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
