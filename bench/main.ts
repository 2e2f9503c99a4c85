/** `npm run bench`: the product beside bare BullMQ flows and beside the hand-written way, in one run. */
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { optionsOrExit } from '../test/harness/command-line/options-or-exit.ts';
import { startBare, startHandWritten } from './bullmq-side.ts';
import { measureBytes, reportOfBytes } from './bytes.ts';
import { measureCurve } from './curve.ts';
import { measureFlows } from './flows.ts';
import { measureWorkload, type Result } from './measure.ts';
import { measureNoisy } from './noisy.ts';
import { HELP, readOptions } from './options.ts';
import { plot } from './plot.ts';
import { startProduct } from './product.ts';
import { reportOf } from './report.ts';
import { costliestStatements, type Servers, startServers } from './servers.ts';
import { measureSleepers } from './sleepers.ts';

const folder = path.join(import.meta.dirname, 'results');
const say = (line: string) => console.log(line);

const options = optionsOrExit(readOptions, HELP);
say('Starting Redis and PostgreSQL …');
const servers = await startServers();
const interrupted = () => void servers.stop().finally(() => process.exit(1));
process.once('SIGINT', interrupted);
process.once('SIGTERM', interrupted);
try {
  await mkdir(folder, { recursive: true });
  if (options.sleepers > 0) {
    say(`\n${await measureSleepers(servers, options.sleepers, say)}`);
  } else if (options.curve) {
    const { table, svg } = await measureCurve(servers, options, say);
    await write(table, svg);
    say(`\n${table}`);
  } else if (options.bytes > 0) {
    const report = reportOfBytes(await measureBytes(servers, options.bytes, say));
    await writeFile(path.join(folder, `${options.name}.md`), report);
    say(`\n${report}`);
  } else if (options.flows > 0) {
    const report = await measureFlows(servers, options, say);
    await writeFile(path.join(folder, `${options.name}.md`), report);
    say(`\n${report}`);
  } else if (options.noisy) {
    const report = await measureNoisy(servers, say);
    await writeFile(path.join(folder, `${options.name}.md`), report);
    say(`\n${report}`);
  } else {
    say(`\n${reportOf(await compare(servers), options)}`);
  }
} finally {
  await servers.stop();
}
// Idle sockets must not hold the end up.
process.exit(0);

async function compare(running: Servers): Promise<Result[]> {
  const product = await startProduct(running, options.profile);
  const bare = await startBare(running);
  const hand = await startHandWritten(running);
  const sides = [bare, hand, product.oneByOne, product.bulk];
  try {
    const results: Result[] = [];
    for (const workload of options.workloads) {
      say(`${workload.id}: ${workload.title}`);
      results.push(...(await measureWorkload(running, sides, workload, { ...options, say })));
      // What is measured is kept, whatever becomes of the next workload.
      await write(reportOf(results, options), plotOf(results));
    }
    if (options.profile !== undefined) for (const line of await costliestStatements(running.observer)) say(line);
    return results;
  } finally {
    await Promise.all([product.stop(), bare.stop(), hand.stop()]);
  }
}

function plotOf(results: readonly Result[]): string {
  return plot({
    title: 'Runs per second over those of bare BullMQ flows',
    unit: 'ratio',
    groups: options.workloads
      .filter(({ id }) => results.some(({ workload }) => workload === id))
      .map(({ id, title }) => ({
        label: `${id} ${title}`,
        values: results
          .filter(({ workload }) => workload === id)
          .map((result) => ({ name: result.title, value: result.ratio })),
      })),
  });
}

async function write(report: string, svg: string): Promise<void> {
  await writeFile(path.join(folder, `${options.name}.md`), report);
  await writeFile(path.join(folder, `${options.name}.svg`), svg);
}
