/**
 * `npm run simulate`: the simulation of the engine under faults, with many more seeds than the tests play, in as many
 * processes as there are cores. Ends with code 1 at the first red seed, after its story.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { wholeNumber } from '../test/harness/command-line/numbers.ts';
import { play } from '../test/harness/simulation/play.ts';
import { DISTURBANCE_KINDS, searchAll } from '../test/harness/simulation/search.ts';
import { A_DIAMOND } from '../test/harness/simulation/shapes.ts';

const HELP = `npm run simulate -- [options]
  --seeds <n>       how many seeds are played (100000)
  --from <n>        the first of them (1)
  --processes <n>   how many processes play them (one for each core)
  --seed <n>        plays this seed alone and tells its story
  --exhaustive <n>  instead: every order of events of two workers and a diamond, with up to n disturbances
  --kind <kind>     with --exhaustive: deaths, faults or all, each with those before it (deaths)`;
const SEEDS_AT_ONCE = 200;

interface Done {
  seeds: number;
  moves: number;
  red: number | undefined;
}

if (process.send !== undefined) {
  process.on('message', ({ from, seeds }: { from: number; seeds: number }) => void answer(from, seeds));
} else {
  process.exitCode = await main().catch((error: unknown) => {
    console.error(`${error instanceof Error ? error.message : String(error)}\n\n${HELP}`);
    return 2;
  });
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      seeds: { type: 'string', default: '100000' },
      from: { type: 'string', default: '1' },
      processes: { type: 'string', default: String(availableParallelism()) },
      seed: { type: 'string' },
      exhaustive: { type: 'string' },
      kind: { type: 'string', default: 'deaths' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) {
    console.log(HELP);
    return 0;
  }
  if (values.exhaustive !== undefined) return exhaust(wholeNumber('exhaustive', values.exhaustive, 0), values.kind);
  if (values.seed !== undefined) return tell(wholeNumber('seed', values.seed, 0));
  const from = wholeNumber('from', values.from, 0);
  return playMany(from, wholeNumber('seeds', values.seeds, 1), wholeNumber('processes', values.processes, 1));
}

async function playMany(from: number, seeds: number, processes: number): Promise<number> {
  const begun = performance.now();
  const end = from + seeds;
  let next = from;
  let played = 0;
  let moves = 0;
  let red: number | undefined;
  const report = () => {
    const seconds = (performance.now() - begun) / 1000;
    return `${played} seeds, ${moves} moves, ${Math.round(played / seconds)} seeds/s`;
  };
  const told = setInterval(() => console.log(report()), 10_000);
  const children = Array.from({ length: processes }, () => fork(import.meta.filename));
  const serve = (child: ChildProcess, resolve: () => void, reject: (error: Error) => void) => {
    const more = () => {
      // What was begun earlier is played to its end, so that the red seed that is told is the first one.
      if (next >= end || red !== undefined) return resolve();
      child.send({ from: next, seeds: Math.min(SEEDS_AT_ONCE, end - next) });
      next += SEEDS_AT_ONCE;
    };
    child.on('message', (done: Done) => {
      played += done.seeds;
      moves += done.moves;
      if (done.red !== undefined) red = Math.min(done.red, red ?? done.red);
      more();
    });
    child.once('exit', (code) => reject(new Error(`a process of the simulation ended with ${code}`)));
    more();
  };
  try {
    await Promise.all(children.map((child) => new Promise<void>((resolve, reject) => serve(child, resolve, reject))));
  } finally {
    clearInterval(told);
    for (const child of children) stop(child);
  }
  console.log(report());
  return red === undefined ? 0 : tell(red);
}

function stop(child: ChildProcess): void {
  child.removeAllListeners('exit');
  child.kill();
}

async function answer(from: number, seeds: number): Promise<void> {
  const done: Done = { seeds: 0, moves: 0, red: undefined };
  for (let seed = from; seed < from + seeds && done.red === undefined; seed += 1) {
    const { wrong, moves } = await play(seed);
    done.seeds += 1;
    done.moves += moves;
    if (wrong !== undefined) done.red = seed;
  }
  process.send?.(done);
}

async function tell(seed: number): Promise<number> {
  const { wrong, story } = await play(seed);
  console.log(story.join('\n'));
  console.log(wrong === undefined ? `seed ${seed} is green` : `seed ${seed}: ${wrong}`);
  if (wrong !== undefined) console.log(`again: npm run simulate -- --seed ${seed}`);
  return wrong === undefined ? 0 : 1;
}

async function exhaust(disturbances: number, wanted: string): Promise<number> {
  const kind = DISTURBANCE_KINDS.find((known) => known === wanted);
  if (kind === undefined) throw new Error(`--kind must be one of ${DISTURBANCE_KINDS.join(', ')}, not '${wanted}'`);
  const begun = performance.now();
  const { states, schedules, ends, wrong, story } = await searchAll({ shape: A_DIAMOND, disturbances, kind });
  if (wrong !== undefined) console.log(`${story.join('\n')}\n${wrong}`);
  const seconds = ((performance.now() - begun) / 1000).toFixed(1);
  console.log(`${states} states, ${schedules} schedules, ${ends} ends in ${seconds} s`);
  return wrong === undefined ? 0 : 1;
}
