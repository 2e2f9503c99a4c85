/** BullMQ alone, in a process of its own: bare, or with an INSERT for each result. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import type { Order, Reply, Settings } from './bullmq-protocol.ts';
import type { Servers } from './servers.ts';
import type { Side } from './side.ts';
import { usageOf, usageOfTree } from './usage.ts';

export function startBare(servers: Servers): Promise<Side> {
  return start(servers, 'bare', 'bare BullMQ flows', false);
}

export function startHandWritten(servers: Servers): Promise<Side> {
  return start(servers, 'hand', 'BullMQ + INSERT per result', true);
}

async function start(servers: Servers, id: string, title: string, stores: boolean): Promise<Side> {
  const settings: Settings = {
    redisUrl: servers.redis.url,
    databaseUrl: stores ? servers.postgres.url : undefined,
    prefix: `{${id}}`,
  };
  const program = path.join(import.meta.dirname, 'bullmq-child.ts');
  const child = spawn(process.execPath, ['--import', 'tsx', program, JSON.stringify(settings)], {
    cwd: path.dirname(import.meta.dirname),
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const ended = once(child, 'exit');
  const next = async (): Promise<Reply> => {
    const [reply] = (await Promise.race([
      once(child, 'message'),
      ended.then(() => [{ error: `${title} has ended` }]),
    ])) as [Reply];
    if ('error' in reply) throw new Error(reply.error);
    return reply;
  };
  await next();
  const ask = (order: Order) => {
    const reply = next();
    child.send(order);
    return reply;
  };
  return {
    id,
    title,
    countsStatements: stores,
    async run(workload, runs) {
      const reply = await ask({ do: 'run', workload, runs });
      return 'ms' in reply ? reply.ms : Number.NaN;
    },
    async latencies(workload, samples) {
      const reply = await ask({ do: 'latencies', workload, samples });
      return 'latencies' in reply ? reply.latencies : [];
    },
    usage: () => ({
      'producer + worker': usageOf(child.pid ?? 0),
      redis: usageOf(servers.redis.pid),
      ...(stores ? { postgres: usageOfTree(servers.postgres.pid) } : {}),
    }),
    async stop() {
      child.disconnect();
      await ended;
    },
  };
}
