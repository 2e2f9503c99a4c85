/** A commit whose reply is lost on its way: the client is answered with its run, which exists once. */
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { test as base, describe, expect, inject } from 'vitest';
import { expectRest } from '../harness/checker/at-rest.ts';
import { accepted, field } from '../harness/client/client.ts';
import { reportFailure } from '../harness/failure-log.ts';
import { openStack } from '../support/stack.ts';
import { echo, workflow } from '../support/test-task.ts';

/** In front of PostgreSQL. What the server does for one message, on the connection of another one, it says to nobody. */
async function startLossyProxy(target: { host: string; port: number }) {
  let next: { after: RegExp; then: RegExp } | undefined;
  let lost = 0;
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const upstream = connect(target);
    let awaited: RegExp | undefined;
    let losing = false;
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', () => socket.destroy());
      socket.on('close', () => {
        sockets.delete(socket);
        client.destroy();
        upstream.destroy();
      });
    }
    client.on('data', (chunk) => {
      const text = chunk.toString('latin1');
      if (next?.after.test(text) === true) {
        awaited = next.then;
        next = undefined;
      }
      losing ||= awaited?.test(text) === true;
      upstream.write(chunk);
    });
    upstream.on('data', (chunk) => {
      // `Z`, ready for the next query: what was sent is committed.
      if (!losing) client.write(chunk);
      else if (chunk.at(-6) === 0x5a) {
        lost += 1;
        client.destroy();
      }
    });
  });
  server.listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  return {
    port: (server.address() as AddressInfo).port, // It listens on a port.
    lose(after: RegExp, then: RegExp) {
      next = { after, then };
    },
    lost: () => lost,
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

const test = base
  .extend('proxy', async ({ onTestFinished: _ }, { onCleanup }) => {
    const { hostname, port } = new URL(inject('postgresUrl'));
    const proxy = await startLossyProxy({ host: hostname, port: Number(port) });
    onCleanup(() => proxy.close());
    return proxy;
  })
  .extend('stack', async ({ proxy, onTestFailed }, { onCleanup }) => {
    const lossy = (real: string) =>
      Object.assign(new URL(real), { hostname: '127.0.0.1', port: String(proxy.port) }).href;
    const stack = await openStack('redis', { workers: 0, databaseUrl: lossy });
    await stack.add('worker', { DATABASE_URL: stack.databaseUrl });
    onTestFailed((test) => reportFailure(test, stack.log.tail()));
    onCleanup(async () => {
      try {
        await expectRest(stack);
      } finally {
        await stack.stop();
      }
    });
    return stack;
  });

describe('a reply of PostgreSQL that is lost', () => {
  test('a request without a key whose commit succeeded is answered with its run, once', async ({ stack, proxy }) => {
    const { api, db } = stack;
    const actions = [echo('a')];
    const plain = await api.createWorkflow(workflow(actions));
    const once = await api.createWorkflow({
      ...workflow(actions),
      name: 'once',
      dedupe: { key: '{{params.n}}', window_seconds: 600, policy: 'reject' },
    });
    const grouped = await api.createWorkflow({
      ...workflow(actions),
      name: 'grouped',
      concurrency: { key: '{{params.n}}', limit: 1, policy: 'reject' },
    });
    const count = async () => Number((await db.query('SELECT count(*)::int AS n FROM run')).rows[0]?.n);

    const runs: string[] = [];
    for (const [id, after, then] of [
      [plain, /accept-runs/, /accept-runs/],
      [once, /accept-deduplicated/, /COMMIT/],
      [grouped, /accept-runs/, /COMMIT/],
    ] as const) {
      const before = [await count(), proxy.lost()] as const;
      runs.push(
        field(accepted(await api.post(`/workflows/${id}/execute`, { parameters: { n: 1 } }), 202), 'execution_id'),
      );
      await api.finished(runs.at(-1) ?? '');
      proxy.lose(after, then);
      const answer = accepted(await api.post(`/workflows/${id}/execute`, { parameters: { n: 2 } }), 202);
      runs.push(field(answer, 'execution_id'));
      expect(proxy.lost()).toBe(before[1] + 1);
      expect(await count()).toBe(before[0] + 2);
    }
    proxy.lose(/accept-runs/, /accept-runs/);
    runs.push(await api.assign({ task_type: 'test_task' }));
    expect(proxy.lost()).toBe(4);
    for (const run of runs) expect((await api.finished(run)).status).toBe('completed');
    expect(await count()).toBe(runs.length);
  });
});
