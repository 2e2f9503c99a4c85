/** Redis as one server, behind Sentinels, and as a Cluster: each is named in one way, and never in two. */
import { expect, test } from 'vitest';
import { loadConfig } from '../../../src/config/config.ts';

const load = (environment: Record<string, string>) =>
  loadConfig({ SECRETS_DIR: '/nowhere', ...environment }, { cwd: '/nowhere' });

test('Sentinels are a list of host:port, with the name of the primary and the credentials of both kinds of servers', () => {
  const config = load({
    REDIS_SENTINELS: 'one:26380, two,[::1]:26381',
    REDIS_SENTINEL_NAME: 'orders',
    REDIS_SENTINEL_PASSWORD: 'guard-pass',
    REDIS_USERNAME: 'queue',
    REDIS_PASSWORD: 'data-pass',
    REDIS_TLS: 'true',
  });
  expect(config.redis).toEqual({
    kind: 'sentinels',
    sentinels: [
      { host: 'one', port: 26_380 },
      { host: 'two', port: 26_379 },
      { host: '::1', port: 26_381 },
    ],
    name: 'orders',
    sentinelPassword: 'guard-pass',
    login: { username: 'queue', password: 'data-pass', tls: true },
  });
  expect(config.hidden).toEqual(expect.arrayContaining(['guard-pass', 'data-pass']));
  expect(JSON.stringify(config.effective)).not.toMatch(/guard-pass|data-pass/);
  expect(config.effective.settings['REDIS_URL']?.value).toBeNull();
});

test('the primary is mymaster unless said', () => {
  expect(load({ REDIS_SENTINELS: 'one' }).redis).toMatchObject({ kind: 'sentinels', name: 'mymaster' });
});

test('a Cluster is a list of some of its nodes', () => {
  expect(load({ REDIS_CLUSTER: '["one:7000","two"]' }).redis).toEqual({
    kind: 'cluster',
    nodes: [
      { host: 'one', port: 7_000 },
      { host: 'two', port: 6_379 },
    ],
    login: { username: undefined, password: undefined, tls: false },
  });
});

test.each(['redis://one:1', 'one:0', 'one:65536', 'one:a', 'one two', 'user@one'])('%s is no host:port', (item) => {
  expect(() => load({ REDIS_CLUSTER: item })).toThrow(/REDIS_CLUSTER.*a list of host or host:port/);
});

test.each<[Record<string, string>, RegExp]>([
  [{ REDIS_URL: 'redis://one', REDIS_SENTINELS: 'two' }, /REDIS_URL and REDIS_SENTINELS each name a Redis/],
  [{ REDIS_HOST: 'one', REDIS_CLUSTER: 'two' }, /REDIS_HOST and REDIS_CLUSTER each name a Redis/],
  [{ REDIS_SENTINELS: 'one', REDIS_CLUSTER: 'two' }, /REDIS_SENTINELS and REDIS_CLUSTER each name a Redis/],
])('%j is a fault that names both', (environment, fault) => {
  expect(() => load(environment)).toThrow(fault);
});

test.each(['orch', '{}orch', 'orch}{'])('the prefix %s has no hash tag, which a Cluster needs', (prefix) => {
  expect(() => load({ REDIS_CLUSTER: 'one', QUEUE_PREFIX: prefix })).toThrow(
    /QUEUE_PREFIX.*REDIS_CLUSTER needs a hash tag/,
  );
  expect(() => load({ REDIS_URL: 'redis://one', QUEUE_PREFIX: prefix })).not.toThrow();
});

test('a stream of events may be in either', () => {
  for (const name of ['REDIS_SENTINELS', 'REDIS_CLUSTER'])
    expect(load({ [name]: 'one', EVENTS_STREAM: 'events' }).eventsStream?.name).toBe('events');
});

test('the queue has one shard unless said, and as many as are said', () => {
  expect(load({}).redisShards).toBe(1);
  expect(load({ REDIS_URL: 'redis://one', REDIS_SHARDS: '3' }).redisShards).toBe(3);
});

test.each<[Record<string, string>, RegExp]>([
  [{ REDIS_SHARDS: '3' }, /REDIS_SHARDS is 3, and the queue is in PostgreSQL/],
  [
    { REDIS_URL: 'redis://one', REDIS_SHARDS: '3', WORKER_CONCURRENCY: '2' },
    /WORKER_CONCURRENCY is 2, and REDIS_SHARDS is 3: a lane needs one slot for each shard/,
  ],
  [{ REDIS_URL: 'redis://one', REDIS_SHARDS: '0' }, /REDIS_SHARDS must be a whole number from 1 to 64/],
  [{ REDIS_URL: 'redis://one', REDIS_SHARDS: '65' }, /REDIS_SHARDS must be a whole number from 1 to 64/],
])('%j is a fault of the shards', (environment, fault) => {
  expect(() => load(environment)).toThrow(fault);
});
