/** What a connection to Redis is made with. None of them connects: `lazyConnect`. */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { type Cluster, Redis } from 'ioredis';
import { expect, test } from 'vitest';
import { connectRedis, onCopies, type RedisClient } from '../../../src/queue/redis-connection.ts';
import type { RedisServers } from '../../../src/schemas/redis-servers.ts';

const login = { username: 'queue', password: 'secret', tls: true };
const one: RedisServers = { kind: 'one', url: 'redis://127.0.0.1:1/3' };
const sentinels: RedisServers = {
  kind: 'sentinels',
  sentinels: [{ host: '127.0.0.1', port: 1 }],
  name: 'orders',
  sentinelPassword: 'guard',
  login,
};
const cluster: RedisServers = { kind: 'cluster', nodes: [{ host: '127.0.0.1', port: 1 }], login };

const retryStrategy = (times: number) => times;
const waiting = { lazyConnect: true, maxRetriesPerRequest: null, enableOfflineQueue: true, retryStrategy };
const failing = { ...waiting, maxRetriesPerRequest: 0, enableOfflineQueue: false };

const copyOf = (connection: RedisClient): RedisClient => {
  let seen: RedisClient | undefined;
  onCopies(connection, (copy) => {
    seen = copy;
  });
  const copy = connection.duplicate();
  expect(seen).toBe(copy);
  return copy;
};

test('every connection of the program is made in one file', () => {
  const files = ['src', 'workers', 'examples'].flatMap((folder) =>
    readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((file) => path.join(folder, file)),
  );
  const sources = files.filter((file) => file.endsWith('.ts'));
  expect(sources.length).toBeGreaterThan(300);
  const importing = sources.filter((file) => /from 'ioredis'|import\('ioredis'\)/.test(readFileSync(file, 'utf8')));
  expect(importing).toEqual(['src/queue/redis-connection.ts']);
});

test('one server has what was asked for and nothing else', () => {
  const connection = connectRedis(one, waiting) as Redis;
  expect(connection).toBeInstanceOf(Redis);
  expect(connection.options).toMatchObject({ host: '127.0.0.1', port: 1, db: 3, maxRetriesPerRequest: null });
  expect(connection.options.socketTimeout).toBeUndefined();
  expect(connection.options.reconnectOnError).toBeNull();
});

test('behind Sentinels it has both passwords, leaves a server that is silent, and tries again as often as asked', () => {
  const { options } = connectRedis(sentinels, waiting) as Redis;
  expect(options).toMatchObject({
    ...{ name: 'orders', sentinelPassword: 'guard', username: 'queue', password: 'secret' },
    ...{ enableTLSForSentinelMode: true, tls: {}, sentinelTLS: {} },
    sentinelRetryStrategy: retryStrategy,
  });
  expect(options.socketTimeout).toBeGreaterThan(0);
  expect(options.reconnectOnError?.(new Error("READONLY You can't write against a read only replica."))).toBe(true);
});

test('in a Cluster a command that may wait follows the slot for ever, and one that may not gives up soon', () => {
  const patient = connectRedis(cluster, waiting) as Cluster;
  expect(patient.options).toMatchObject({
    ...{ enableOfflineQueue: true, maxRedirections: Number.POSITIVE_INFINITY, clusterRetryStrategy: retryStrategy },
    redisOptions: { username: 'queue', password: 'secret', tls: {} },
  });
  const brief = connectRedis(cluster, failing) as Cluster;
  expect(brief.options.enableOfflineQueue).toBe(false);
  expect(brief.options.maxRedirections).toBeLessThan(10);
});

test('a copy blocks for longer than a server may be silent', () => {
  expect((copyOf(connectRedis(sentinels, waiting)) as Redis).options.socketTimeout).toBeUndefined();
  const copy = copyOf(connectRedis(cluster, waiting)) as Cluster;
  expect(copy.options.redisOptions).not.toHaveProperty('socketTimeout');
  expect(copy.options.redisOptions).toHaveProperty('password', 'secret');
  expect(copy.options.maxRedirections).toBe(Number.POSITIVE_INFINITY);
});
