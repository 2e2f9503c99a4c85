/** `npm run drill`: breaks a running service in every way it can, and shows that nothing is lost and nothing done twice. */
import { setTimeout as sleep } from 'node:timers/promises';
import { expectRest } from '../test/harness/checker/at-rest.ts';
import { optionsOrExit } from '../test/harness/command-line/options-or-exit.ts';
import { openStation, type Station } from '../test/harness/faults/station.ts';
import { HURRIED } from '../test/harness/processes/process.ts';
import { canStartRedis } from '../test/harness/servers/redis-server.ts';
import { until } from '../test/harness/until.ts';
import { type Fault, faultsOf } from './faults.ts';
import { committedTwice, completedOf, firstCommitAfter, lastEndOf, openOf, tasksCommitted } from './ledger.ts';
import { HELP, readOptions } from './options.ts';
import { type Recovery, reportOf, seconds } from './report.ts';
import { startWork, type Work } from './work.ts';

const begun = performance.now();
const say = (line: string) => console.log(`${((performance.now() - begun) / 1000).toFixed(1).padStart(6)} s  ${line}`);
const END_MS = 120_000;
const LOOK_EVERY_MS = 50;
/** Calls that the service is busy with when something is broken. */
const BUSY = 5;
const WORKERS = 2;
/** How long a lock is, and what it takes until one that has run out is noticed. */
const LOCK_MS = { production: 20_000, hurried: 2_000 };

const options = optionsOrExit(readOptions, HELP);
if (options.help) {
  console.log(HELP);
  process.exit(0);
}
let station: Station | undefined;
let interrupted = false;
const interrupt = () => {
  if (interrupted) return;
  interrupted = true;
  say('Stopping everything …');
  void station?.close().finally(() => process.exit(130));
  // While it starts: it is stopped as soon as it is there.
};
process.on('SIGINT', interrupt);
process.on('SIGTERM', interrupt);

let passed = false;
try {
  say('Starting PostgreSQL, the queue, an API and two workers …');
  station = await start();
  if (interrupted) throw new Error('interrupted');
  passed = await drill(station);
} catch (error) {
  if (!interrupted) console.error(error);
} finally {
  if (!passed && !interrupted && station !== undefined) console.error(station.tail());
  await station?.close().catch((error: unknown) => say(`while stopping: ${error}`));
}
process.exit(interrupted ? 130 : passed ? 0 : 1);

/** With the settings of production, but for short locks where somebody is in a hurry. */
async function start(): Promise<Station> {
  const { hurried } = options;
  const backend = options.backend === 'redis' && !canStartRedis() ? 'postgres' : options.backend;
  if (backend !== options.backend) say('No Redis can be started here; the queue is in PostgreSQL.');
  const environment = { SHUTDOWN_GRACE_SECONDS: '2', ...(hurried ? HURRIED : {}) };
  return openStation({ backend, workers: WORKERS, asDelivered: true, environment });
}

async function drill(running: Station): Promise<boolean> {
  const work = await startWork(running);
  const faults = faultsOf(running, options.hurried ? LOCK_MS.hurried : LOCK_MS.production);
  const { db, redisClient: redis, queuePrefix } = running;
  const recoveries: Recovery[] = [];
  for (const [index, fault] of faults.entries()) {
    const runs = Math.round(((index + 1) * options.runs) / faults.length) - work.accepted.size;
    recoveries.push(await suffer(running, work, fault, Math.max(1, runs)));
  }
  const wrong = await expectRest({ db, redis, queuePrefix, reported: new Set() }, END_MS).then(
    () => undefined,
    (error: unknown) => String(error),
  );
  const open = await openOf(db, work.accepted);
  const result = {
    backend: running.backend,
    hurried: options.hurried,
    recoveries,
    accepted: work.accepted.size,
    finished: work.accepted.size - open.length,
    completed: await completedOf(db, work.accepted),
    tasks: await tasksCommitted(db),
    lost: open.length,
    committedTwice: await committedTwice(db),
    executedAgain: work.executedAgain(),
    wrong,
  };
  console.log(`\n${reportOf(result)}`);
  return result.lost === 0 && result.committedTwice === 0 && wrong === undefined;
}

/** Half of the runs are under way when it happens, the others are accepted meanwhile. */
async function suffer(running: Station, work: Work, fault: Fault, runs: number): Promise<Recovery> {
  const { db } = running;
  const before = Math.ceil(runs / 2);
  const again = work.executedAgain();
  const goOn = await work.begin(before, BUSY);
  const affected = await openOf(db, work.accepted);
  const at = Date.now();
  const since = () => ((Date.now() - at) / 1000).toFixed(1);
  say(`${fault.title}; ${affected.length} runs are under way`);
  goOn();
  const repaired = fault.inject(running).then(() => say(`  it is over after ${since()} s`));
  const more = work.accept(runs - before);

  const movedAt = await until(() => firstCommitAfter(db, at), {
    what: 'work moves again',
    timeoutMs: END_MS,
    everyMs: LOOK_EVERY_MS,
  });
  say(`  work moved again after ${seconds(movedAt - at)}`);
  await Promise.all([repaired, more]);
  const isOver = async () => (await openOf(db, work.accepted)).length === 0;
  const over = await until(isOver, { timeoutMs: END_MS, everyMs: LOOK_EVERY_MS }).catch(() => false);
  const endedAt = over ? await lastEndOf(db, affected) : undefined;
  if (endedAt === undefined) say(`  NOT everything has finished after ${since()} s`);
  else say(`  everything that was under way had finished after ${seconds(endedAt - at)}`);
  // The reconciler and the janitor look once more before the next fault.
  await sleep(LOOK_EVERY_MS);
  return {
    title: fault.title,
    affected: affected.length,
    movedMs: movedAt - at,
    finishedMs: endedAt === undefined ? undefined : endedAt - at,
    executedAgain: work.executedAgain() - again,
  };
}
