import { chmodSync, existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import pg from 'pg';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type PostgresServer, startPostgres } from '../../src/launch/postgres-server.ts';
import { isAlive } from '../../src/launch/processes.ts';

let folder: string;
let servers: PostgresServer[];
let said: string[];

beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'embedded-'));
  chmodSync(folder, 0o755); // The server may run as another user.
  servers = [];
  said = [];
});
afterEach(async () => {
  // Several of them may have had the same folder.
  for (const server of servers) await server.stop();
  for (const { directory } of servers) rmSync(directory, { recursive: true, force: true });
  rmSync(folder, { recursive: true, force: true });
});

async function start(): Promise<PostgresServer> {
  const server = await startPostgres({ folder, fast: true, say: (line) => said.push(line) });
  servers.push(server);
  return server;
}

async function ask(url: string, statement: string): Promise<unknown> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  try {
    return (await client.query(statement)).rows[0];
  } finally {
    await client.end();
  }
}

test('what was stored is there after a stop and a start, at the same address', async () => {
  const first = await start();
  await ask(first.url, "CREATE TABLE kept AS SELECT 'yes' AS word");
  await first.stop();
  const second = await start();
  expect(second.url).toBe(first.url);
  expect(await ask(second.url, 'SELECT word FROM kept')).toEqual({ word: 'yes' });
});

test('it is reachable on this machine only, with a password that only its owner can read', async () => {
  const server = await start();
  expect(await ask(server.url, 'SHOW listen_addresses')).toEqual({ listen_addresses: '127.0.0.1' });
  const wrong = new URL(server.url);
  wrong.password = 'guess';
  await expect(ask(wrong.href, 'SELECT 1')).rejects.toThrow('password authentication failed');
  expect(statSync(path.join(folder, 'postgres.json')).mode & 0o077).toBe(0);
});

test('a server for real use does not lose what it has promised', async () => {
  const server = await startPostgres({ folder, say: () => undefined });
  servers.push(server);
  expect(await ask(server.url, 'SHOW fsync')).toEqual({ fsync: 'on' });
  expect(await ask(server.url, 'SHOW synchronous_commit')).toEqual({ synchronous_commit: 'on' });
  expect(await ask(server.url, 'SHOW max_connections')).toEqual({ max_connections: '400' });
});

test('a server whose supervisor was killed is stopped and replaced', async () => {
  const orphan = await start();
  await ask(orphan.url, 'CREATE TABLE kept AS SELECT 1 AS number');
  const next = await start();
  expect(said).toEqual([`Stopping a PostgreSQL server (pid ${orphan.pid}) whose supervisor is gone.`]);
  expect(isAlive(orphan.pid)).toBe(false);
  expect(await ask(next.url, 'SELECT number FROM kept')).toEqual({ number: 1 });
});

test('a server that was killed leaves nothing that hinders the next start', async () => {
  const first = await start();
  await ask(first.url, 'CREATE TABLE kept AS SELECT 1 AS number');
  process.kill(first.pid, 'SIGKILL');
  await first.died;
  expect(existsSync(path.join(first.directory, 'postmaster.pid'))).toBe(true);
  const next = await start();
  expect(await ask(next.url, 'SELECT number FROM kept')).toEqual({ number: 1 });
});

test('a lock file that names another program does not hinder, and that program is left alone', async () => {
  const first = await start();
  const file = path.join(first.directory, 'postmaster.pid');
  const content = await readFile(file, 'utf8');
  await first.stop();
  writeFileSync(file, content.replace(/^\d+/, String(process.pid)));
  await start();
  expect(said).toEqual([]);
});

test('when another program has taken its port, it takes another', async () => {
  const first = await start();
  await first.stop();
  const squatter = createServer();
  await new Promise<void>((resolve) => squatter.listen(first.port, '127.0.0.1', resolve));
  try {
    expect((await start()).port).not.toBe(first.port);
  } finally {
    squatter.close();
  }
});
