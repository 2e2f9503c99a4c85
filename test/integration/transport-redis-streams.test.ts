/** Redis Streams as the transport of flow runs: what every transport promises, and what is its own. */
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { loadConfig } from '../../src/config/config.ts';
import type { IncomingMessage, Transport } from '../../src/features/flow-runner/transport/ports.ts';
import type { ConsumerTimes } from '../../src/features/flow-runner/transport/redis-streams/consumer.ts';
import {
  createRedisStreams,
  type RedisStreamsOptions,
} from '../../src/features/flow-runner/transport/redis-streams/transport.ts';
import { startCluster, startSentinelPair } from '../harness/servers/redis-group.ts';
import { type RedisServer, startRedis } from '../harness/servers/redis-server.ts';
import { createTestLog, type TestLog } from '../harness/test-log.ts';
import { until } from '../harness/until.ts';
import { type RawMessage, type TransportWorld, transportConformance } from '../support/transport-conformance.ts';

const TIMES: ConsumerTimes = { blockMs: 200, claimAfterMs: 600_000, claimEveryMs: 100, restMs: 100 };

function optionsAt(url: string, more: Partial<RedisStreamsOptions> = {}): RedisStreamsOptions {
  return { servers: { kind: 'one', url }, offsetReset: 'earliest', maxLength: 100_000, times: TIMES, ...more };
}

/** As a client of any language adds an entry. */
async function add(redis: Redis, topic: string, { key, value, headers }: RawMessage): Promise<void> {
  const fields = new Map<string, string | Buffer>(
    Object.entries(headers).map(([name, text]) => [`header:${name}`, text]),
  );
  if (value !== null) fields.set('value', value);
  if (key !== null) fields.set('key', key);
  await redis.xadd(topic, '*', ...[...fields].flat());
}

transportConformance('Redis Streams', async (): Promise<TransportWorld> => {
  const folder = mkdtempSync(path.join(tmpdir(), 'streams-redis-'));
  let server = await startRedis({ appendOnly: 'always', folder });
  const { url, port } = server;
  let redis = new Redis(url);
  return {
    name: 'redis-streams',
    open: (offsetReset) => createRedisStreams(optionsAt(url, { offsetReset }), createTestLog()),
    openSuccessor: () => createRedisStreams(optionsAt(url, { times: { ...TIMES, claimAfterMs: 1 } }), createTestLog()),
    member: {
      module: 'features/flow-runner/transport/redis-streams/transport.js',
      make: 'createRedisStreams',
      options: optionsAt(url),
    },
    async createTopic(topic) {
      // A stream is there with its first entry.
      await redis.xgroup('CREATE', topic, 'nobody', '0', 'MKSTREAM');
      await redis.xgroup('DESTROY', topic, 'nobody');
    },
    async write(topic, messages) {
      for (const message of messages) await add(redis, topic, message);
    },
    async read(topic) {
      return (await redis.xrangeBuffer(topic, '-', '+')).map(([, fields]) => rawOf(fields));
    },
    async away() {
      redis.disconnect();
      await server.stop('SIGKILL');
    },
    async back() {
      server = await startRedis({ appendOnly: 'always', folder, port });
      redis = new Redis(url);
    },
    async moveBeyondEnd(group, topic) {
      await redis.xgroup('CREATE', topic, group, '99999999999999-0');
    },
    async close() {
      redis.disconnect();
      await server.stop();
    },
  };
});

function rawOf(fields: Buffer[]): RawMessage {
  const found = new Map(fields.flatMap((name, at) => (at % 2 === 0 ? [[String(name), fields[at + 1]] as const] : [])));
  const headers = [...found].filter(([name]) => name.startsWith('header:'));
  return {
    key: found.get('key')?.toString() ?? null,
    value: found.get('value') ?? null,
    headers: Object.fromEntries(headers.map(([name, text]) => [name.slice('header:'.length), String(text)])),
  };
}

describe('streams of Redis', () => {
  let server: RedisServer;
  let redis: Redis;
  let log: TestLog;
  const opened: Transport[] = [];

  beforeAll(async () => {
    server = await startRedis();
    redis = new Redis(server.url);
  });
  afterEach(async () => {
    await Promise.all(opened.splice(0).map((transport) => transport.close()));
    await redis.flushall();
  });
  afterAll(async () => {
    redis.disconnect();
    await server.stop();
  });

  function open(more: Partial<RedisStreamsOptions> = {}): Transport {
    log = createTestLog();
    const transport = createRedisStreams(optionsAt(server.url, more), log);
    opened.push(transport);
    return transport;
  }
  const entry = (n: number): RawMessage => ({ key: null, value: Buffer.from(String(n)), headers: {} });
  const filled = async (topic: string, count: number) => {
    for (let n = 0; n < count; n += 1) await add(redis, topic, entry(n));
  };

  test('a topic is the key of its stream, and the field value is the JSON alone', async () => {
    await open().publish([{ topic: 'task_queue', key: 't-1', value: '{"a":1}', headers: { attempt: '0' } }]);
    const [[, fields] = []] = await redis.xrange('task_queue', '-', '+');
    expect(fields).toEqual(['value', '{"a":1}', 'key', 't-1', 'header:attempt', '0']);
  });

  test('the id of an entry is its offset, and says when it was written', async () => {
    const id = String(await redis.xadd('flow_runs', '1800000000123-7', 'value', '{}'));
    const got: IncomingMessage[] = [];
    open().consume({
      ...{ topics: ['flow_runs'], group: 'g' },
      handle: async (messages) => got.push(...messages),
    });
    await until(() => got.length > 0, { what: 'the entry' });
    expect(got[0]).toMatchObject({ offset: id, partition: 0, timestamp: new Date(1_800_000_000_123) });
  });

  test('a stream that is too long is trimmed of what every group has acknowledged, and of nothing else', async () => {
    await filled('flow_runs', 1_000);
    await redis.xgroup('CREATE', 'flow_runs', 'slow', '0');
    const slow = (await redis.xreadgroup('GROUP', 'slow', 'c', 'COUNT', 600, 'STREAMS', 'flow_runs', '>')) as Array<
      [string, Array<[string, string[]]>]
    >;
    const ids = slow[0]?.[1].map(([id]) => id) ?? [];
    // All but the three-hundredth of what it has read.
    await redis.xack('flow_runs', 'slow', ...ids.filter((_, at) => at !== 300));
    let done = 0;
    const transport = open({ maxLength: 100 });
    transport.consume({
      ...{ topics: ['flow_runs'], group: 'fast' },
      async handle({ length }) {
        done += length;
        return length;
      },
    });
    await until(() => done === 1_000, { what: 'the fast group has all' });
    await until(async () => (await redis.xlen('flow_runs')) <= 800, { what: 'it is trimmed' });
    const left = (await redis.xrange('flow_runs', '-', '+')).map(([, fields]) => Number(fields[1]));
    expect(left[0]).toBeLessThanOrEqual(300);
    expect(left).toEqual(Array.from({ length: 1_000 - (left[0] ?? 0) }, (_, n) => n + (left[0] ?? 0)));
    expect(log.lines.map(({ event }) => event)).toContain('stream_not_trimmed');

    // The slow group catches up: now the length is what is left.
    await redis.xreadgroup('GROUP', 'slow', 'c', 'COUNT', 1_000, 'STREAMS', 'flow_runs', '>');
    const open_ = (await redis.xpending('flow_runs', 'slow', '-', '+', 1_000)) as Array<[string]>;
    await redis.xack('flow_runs', 'slow', ...open_.map(([id]) => id));
    await transport.publish(
      Array.from({ length: 20 }, (_, n) => ({ topic: 'flow_runs', key: 'k', value: `later ${n}`, headers: {} })),
    );
    await until(async () => (await redis.xlen('flow_runs')) < 300, { what: 'it is short' });
    expect(await redis.xlen('flow_runs')).toBeGreaterThanOrEqual(100);
  });

  test('a member that works for long keeps what it has, however often others claim', async () => {
    await filled('flow_runs', 3);
    const times = { ...TIMES, claimAfterMs: 600 };
    let finish: (done: number) => void = () => undefined;
    let calls = 0;
    const handle = () => {
      calls += 1;
      return new Promise<number>((resolve) => {
        finish = resolve;
      });
    };
    const topics = ['flow_runs'];
    open({ times }).consume({ topics, group: 'g', handle });
    await until(() => calls === 1, { what: 'the work has started' });
    open({ times }).consume({ topics, group: 'g', handle });
    const idleOf = async () => {
      const [first] = (await redis.xpending('flow_runs', 'g', '-', '+', 1)) as Array<[string, string, number]>;
      return first?.[2] ?? 0;
    };
    for (let renewals = 0; renewals < 5; renewals += 1) {
      let last = await idleOf();
      await until(
        async () => {
          const before = last;
          last = await idleOf();
          return last < before;
        },
        { what: 'it was renewed', everyMs: 20 },
      );
    }
    expect(calls).toBe(1);
    finish(3);
    await until(async () => ((await redis.xpending('flow_runs', 'g')) as [number])[0] === 0, { what: 'it is done' });
  });

  test('after Redis has lost everything the group is made anew, and what came since is taken', async () => {
    const got: string[] = [];
    const transport = open({ offsetReset: 'latest' });
    transport.consume({
      ...{ topics: ['flow_runs'], group: 'g' },
      handle: async (messages) => got.push(...messages.map(({ value }) => String(value))),
    });
    await until(async () => (await redis.exists('flow_runs')) === 1, { what: 'the group is there' });
    expect(log.lines.map(({ event }) => event)).toContain('consumer_group_starts_at_the_end');
    const lost = redis.multi().flushall().xadd('flow_runs', '*', 'value', 'after the loss');
    await lost.exec();
    await until(() => got.includes('after the loss'), { what: 'the entry' });
    expect(log.lines.map(({ event }) => event)).toEqual(
      expect.arrayContaining(['redis_streams_unreachable', 'redis_streams_back']),
    );
  });

  test('an entry that was deleted while it was open is passed over', async () => {
    await filled('flow_runs', 3);
    await redis.xgroup('CREATE', 'flow_runs', 'g', '0');
    await redis.xreadgroup('GROUP', 'g', 'dead', 'STREAMS', 'flow_runs', '>');
    const [, second] = await redis.xrange('flow_runs', '-', '+');
    await redis.xdel('flow_runs', second?.[0] ?? '');
    const got: string[] = [];
    open({ times: { ...TIMES, claimAfterMs: 1 } }).consume({
      ...{ topics: ['flow_runs'], group: 'g' },
      handle: async (messages) => got.push(...messages.map(({ value }) => String(value))),
    });
    await until(async () => ((await redis.xpending('flow_runs', 'g')) as [number])[0] === 0, { what: 'none is open' });
    expect(got).toEqual(['0', '2']);
  });

  test('a consumer that leaves is removed from the group, and one with open entries is not', async () => {
    await filled('flow_runs', 2);
    let open_ = 1;
    const subscription = {
      ...{ topics: ['flow_runs'], group: 'g' },
      handle: async ({ length }: readonly unknown[]) => length - open_,
    };
    const transport = open();
    const first = transport.consume(subscription);
    await until(async () => (await transport.lag('g', ['flow_runs']))[0]?.lag === 1, { what: 'one is left' });
    await first.close();
    const consumers = async () => (await redis.xinfo('CONSUMERS', 'flow_runs', 'g')) as unknown[];
    expect(await consumers()).toHaveLength(1);
    open_ = 0;
    const second = transport.consume(subscription);
    await until(async () => (await transport.lag('g', ['flow_runs']))[0]?.lag === 0, { what: 'none is left' });
    await second.close();
    expect(await consumers()).toHaveLength(1);
  });
});

test.each([
  ['behind Sentinels, whose replica confirms what is published', startSentinelPair],
  ['in a Cluster, each stream at its own server', startCluster],
] as const)('streams carry messages %s', async (_, start) => {
  const group = await start();
  const { redis: servers } = loadConfig(group.environment, { cwd: '/nowhere' });
  if (servers === undefined) throw new Error('no servers');
  const transport = createRedisStreams({ ...optionsAt(''), servers }, createTestLog());
  try {
    const topics = ['flow_runs', 'task_done', 'task_failed', 'task_queue'];
    const got: string[] = [];
    transport.consume({
      ...{ topics, group: 'g' },
      handle: async (messages) => got.push(...messages.map(({ topic, value }) => `${topic} ${value}`)),
    });
    const messages = topics.flatMap((topic) =>
      ['1', '2', '3'].map((value) => ({ topic, key: 'k', value, headers: {} })),
    );
    await until(() => transport.publish(messages).then(() => true), { what: 'all are published' });
    await until(() => new Set(got).size === messages.length, { what: 'all came' });
    await until(async () => (await transport.lag('g', topics)).every(({ lag }) => lag === 0), { what: 'no lag' });
    expect(await transport.check('g', topics)).toEqual(topics.map((topic) => ({ topic, exists: true, beyondEnd: [] })));
  } finally {
    await transport.close();
    await group.close();
  }
});
