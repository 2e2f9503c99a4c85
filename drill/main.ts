/** `npm run drill`: breaks a running service in every way it can, and shows that nothing is lost and nothing done twice. */
import { setTimeout as sleep } from 'node:timers/promises';
import { expectRest } from '../test/support/invariants.ts';
import { until } from '../test/support/until.ts';
import { type Fault, faultsOf } from './faults.ts';
import { committedTwice, completedOf, firstCommitAfter, lastEndOf, openOf, tasksCommitted } from './ledger.ts';
import { HELP, type Options, readOptions } from './options.ts';
import { type Recovery, reportOf } from './report.ts';
import { type Stack, startStack } from './stack.ts';
import { startWork, type Work } from './work.ts';

const begun = performance.now();
const say = (line: string) => console.log(`${((performance.now() - begun) / 1000).toFixed(1).padStart(6)} s  ${line}`);
const END_MS = 120_000;
const LOOK_EVERY_MS = 50;
/** Calls that the service is busy with when something is broken. */
const BUSY = 5;

let options: Options;
try {
  options = readOptions(process.argv.slice(2));
} catch (error) {
  console.error(`${error instanceof Error ? error.message : String(error)}\n\n${HELP}`);
  process.exit(2);
}
if (options.help) {
  console.log(HELP);
  process.exit(0);
}
let stack: Stack | undefined;
let interrupted = false;
const interrupt = () => {
  if (interrupted) return;
  interrupted = true;
  say('Stopping everything …');
  void stack?.stop().finally(() => process.exit(130));
  // While it starts: it is stopped as soon as it is there.
};
process.on('SIGINT', interrupt);
process.on('SIGTERM', interrupt);

let passed = false;
try {
  say('Starting PostgreSQL, the queue, an API and two workers …');
  stack = await startStack(options, say);
  if (interrupted) throw new Error('interrupted');
  passed = await drill(stack);
} catch (error) {
  if (!interrupted) console.error(error);
} finally {
  if (!interrupted || stack !== undefined) await stack?.stop();
}
process.exit(interrupted ? 130 : passed ? 0 : 1);

async function drill(running: Stack): Promise<boolean> {
  const work = await startWork(running.url);
  try {
    const faults = faultsOf(running);
    const recoveries: Recovery[] = [];
    for (const [index, fault] of faults.entries()) {
      const runs = Math.round(((index + 1) * options.runs) / faults.length) - work.accepted.size;
      recoveries.push(await suffer(running, work, fault, Math.max(1, runs)));
    }
    const wrong = await expectRest({ ...running, reported: new Set() }, END_MS).then(
      () => undefined,
      (error: unknown) => String(error),
    );
    const open = await openOf(running.db, work.accepted);
    const result = {
      backend: running.backend,
      hurried: options.hurried,
      recoveries,
      accepted: work.accepted.size,
      finished: work.accepted.size - open.length,
      completed: await completedOf(running.db, work.accepted),
      tasks: await tasksCommitted(running.db),
      lost: open.length,
      committedTwice: await committedTwice(running.db),
      executedAgain: work.executedAgain(),
      wrong,
    };
    console.log(`\n${reportOf(result)}`);
    return result.lost === 0 && result.committedTwice === 0 && wrong === undefined;
  } finally {
    await work.close();
  }
}

/** Half of the runs are under way when it happens, the others are accepted meanwhile. */
async function suffer({ ...running }: Stack, work: Work, fault: Fault, runs: number): Promise<Recovery> {
  const { db } = running;
  const before = Math.ceil(runs / 2);
  const again = work.executedAgain();
  await work.accept(before);
  await until(() => work.active() >= Math.min(BUSY, before), { what: 'work is under way', everyMs: 5 });
  const affected = await openOf(db, work.accepted);
  const at = Date.now();
  const since = () => ((Date.now() - at) / 1000).toFixed(1);
  say(`${fault.title}; ${affected.length} runs are under way`);
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
  // The sweep and the janitor look once more before the next fault.
  await sleep(LOOK_EVERY_MS);
  return {
    title: fault.title,
    affected: affected.length,
    movedMs: movedAt - at,
    finishedMs: endedAt === undefined ? undefined : endedAt - at,
    executedAgain: work.executedAgain() - again,
  };
}

function seconds(milliseconds: number): string {
  return `${(milliseconds / 1000).toFixed(2)} s`;
}
