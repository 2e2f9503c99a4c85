import { startBare } from './bullmq-side.ts';
import { startProduct } from './product.ts';
import { startServers } from './servers.ts';
import { WORKLOADS } from './workloads.ts';

const servers = await startServers();
const c = servers.observer;
const product = await startProduct(servers, process.argv[4]);
const bare = await startBare(servers);
for (const id of (process.argv[2] ?? 'W1').split(',')) {
  const W = WORKLOADS.find((w) => w.id === id);
  if (!W) continue;
  const n = Math.round(4000 / Math.sqrt(W.tasks));
  await bare.run(W, n * 3);
  await product.bulk.run(W, n);
  await product.oneByOne.run(W, n / 2);
  await bare.run(W, n * 3);
  await c.query('select pg_stat_statements_reset()');
  for (const side of [product.oneByOne, product.bulk, bare, product.oneByOne, product.bulk, bare]) {
    const b = side.usage();
    const ms = await side.run(W, n);
    const a = side.usage();
    const cpu = Object.entries(a).map(([k, v]) => `${k} ${(((v.cpuMs - b[k].cpuMs) * 1000) / n / W.tasks).toFixed(0)}`);
    console.log(
      id,
      side.id.padEnd(8),
      ((n / ms) * 1000).toFixed(0).padStart(6),
      'runs/s  cpu µs/task',
      Object.entries(a)
        .reduce((s, [k, v]) => s + ((v.cpuMs - b[k].cpuMs) * 1000) / n / W.tasks, 0)
        .toFixed(0),
      cpu.join(', '),
    );
  }
  const t = await product.oneByOne.latencies(W, 100);
  t.sort((a, b) => a - b);
  console.log(id, 'lat p5/50/95', t[5].toFixed(1), t[50].toFixed(1), t[95].toFixed(1));
  if (process.argv[3]) {
    const { rows } = await c.query(
      "select calls, rows, round(mean_exec_time::numeric,2) m, round(total_exec_time) t, left(query,50) q from pg_stat_statements where userid='orchestrator'::regrole order by total_exec_time desc limit 6",
    );
    for (const r of rows) console.log(JSON.stringify(r));
  }
}
await product.stop();
await bare.stop();
await servers.stop();
process.exit(0);
