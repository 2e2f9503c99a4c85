/**
 * `npm run capacity`: writes the capacity model of docs/scale.md, from what the benchmark measured (bench/results) and a day that
 * is simulated second by second. `npm run capacity -- --tasks 50000000` prints the same for another number of tasks a day.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { VARIABLES } from '../src/config/variables.ts';
import { projectRoot } from '../src/project-root.ts';
import { table } from '../test/harness/command-line/table.ts';

const PARTS = ['api', 'worker', 'redis', 'postgres'] as const;
type Part = (typeof PARTS)[number];

/** What a task of one kind of run costs. */
export interface CostOfTask {
  title: string;
  /** Of CPU. */
  microseconds: Record<Part, number>;
  /** In tables and indexes of PostgreSQL. */
  storedBytes: number;
  walBytes: number;
  tasksPerRun: number;
}

export interface Day {
  peakPerSecond: number;
  cores: Record<Part, number>;
  /** Cores that are to be had for it, so that the peak takes HEADROOM of them. */
  needed: Record<Part, number>;
  longestBacklog: number;
  secondsToDrain: number;
  /** Of each Redis, for what is queued. */
  redisBytes: number;
  storedBytes: number;
  walBytes: number;
  walPerSecondAtPeak: number;
}

/** What was measured of queued runs. */
export interface Queued {
  redisPerRun: number;
  /** The pace with more runs than the admission window, over that with fewer. */
  beyondWindow: number;
}

const DAY_SECONDS = 86_400;
/** The peak, in the middle of the day, is twice the mean; at night nothing comes. */
const PEAK = 2;
/** What the peak may take of the cores that are there. */
const HEADROOM = 0.6;
/** At the peak no worker is there for so long. */
const AWAY_SECONDS = 600;
const MEASURED = ['W1', 'W2'];
const TASKS_A_DAY = [1_000_000, 1_000_000_000];
const MARKS = ['<!-- npm run capacity -->', '<!-- end -->'] as const;
const PAGE = path.join('docs', 'scale.md');

export function simulateDay(tasks: number, cost: CostOfTask, { redisPerRun, beyondWindow }: Queued): Day {
  const mean = tasks / DAY_SECONDS;
  const peakPerSecond = mean * PEAK;
  const cores = perPart((part) => (peakPerSecond * cost.microseconds[part]) / 1e6);
  const needed = perPart((part) => Math.ceil(cores[part] / HEADROOM));
  const capacity = Math.min(...PARTS.map((part) => (needed[part] * 1e6) / cost.microseconds[part]));
  // One window for each Redis.
  const window = Number(VARIABLES.ADMISSION_WINDOW.default);
  const tasksInWindows = window * needed.redis * cost.tasksPerRun;
  const awayFrom = DAY_SECONDS / 2 - AWAY_SECONDS / 2;
  const awayTo = awayFrom + AWAY_SECONDS;
  let [backlog, longestBacklog, secondsToDrain, done] = [0, 0, 0, 0];
  for (let second = 0; second < DAY_SECONDS; second += 1) {
    backlog += mean * (1 - Math.cos((2 * Math.PI * second) / DAY_SECONDS));
    const pace = backlog > tasksInWindows ? capacity * beyondWindow : capacity;
    const served = second >= awayFrom && second < awayTo ? 0 : Math.min(backlog, pace);
    backlog -= served;
    done += served;
    longestBacklog = Math.max(longestBacklog, backlog);
    // Less than what comes within a second is no backlog.
    if (second >= awayTo && backlog > peakPerSecond) secondsToDrain = second + 1 - awayTo;
  }
  if (Math.abs(done + backlog - tasks) > 1) throw new Error(`${tasks} tasks came and ${done} were done`);
  return {
    ...{ peakPerSecond, cores, needed, longestBacklog, secondsToDrain },
    redisBytes: Math.min(longestBacklog / cost.tasksPerRun / needed.redis, window) * redisPerRun,
    storedBytes: tasks * cost.storedBytes,
    walBytes: tasks * cost.walBytes,
    walPerSecondAtPeak: peakPerSecond * cost.walBytes,
  };
}

/** Tasks a day whose peak takes HEADROOM of one core, which is all that a Redis has. */
export function boundOfOneCore(microseconds: number): number {
  return (HEADROOM * 1e6 * DAY_SECONDS) / (microseconds * PEAK);
}

/** From the tables of `bench/results/bench.md`, `bytes.md` and `curve.md`. */
export function measuredCosts(): { costs: CostOfTask[]; queued: Queued } {
  const bench = resultOf('bench');
  const bytes = resultOf('bytes');
  const curve = resultOf('curve');
  const pace = (runs: number) => Number(rowOf(curve, `^\\| queued runs +\\| ${runs} +\\| (\\d+)`)[1]);
  const costs = MEASURED.map((workload) => {
    const [, times = ''] = rowOf(bench, `^\\| ${workload} \\| product, a request per run +\\| (api [^|]+)\\|`);
    const [, title = '', heap, indexes, wal] = rowOf(
      bytes,
      `^\\| ${workload} +\\| ([^|]+?) +\\| \\d+ +\\| (\\d+) +\\| (\\d+) +\\| (\\d+)`,
    );
    const [, tasksPerRun] = rowOf(bench, `${workload}: [^,]+, (\\d+) tasks?\\.`);
    return {
      title,
      microseconds: perPart((part) => Number(rowOf(times, `\\b${part} (\\d+)`)[1])),
      storedBytes: Number(heap) + Number(indexes),
      walBytes: Number(wal),
      tasksPerRun: Number(tasksPerRun),
    };
  });
  const redisPerRun = Number(rowOf(bytes, 'in Redis: (\\d+) bytes')[1]);
  return { costs, queued: { redisPerRun, beyondWindow: pace(100_000) / pace(10_000) } };
}

export function capacityModel(tasksADay: readonly number[] = TASKS_A_DAY): string {
  const { costs, queued } = measuredCosts();
  const perTask = table(
    ['a task of', 'API', 'worker', 'Redis', 'PostgreSQL', 'stored', 'write-ahead log', 'one Redis is enough for'],
    costs.map(({ title, microseconds, storedBytes, walBytes }) => [
      title,
      ...PARTS.map((part) => `${microseconds[part]} µs`),
      `${storedBytes} B`,
      `${walBytes} B`,
      `${(boundOfOneCore(microseconds.redis) / 1e6).toFixed(0)} M a day`,
    ]),
  );
  const days = table(
    [
      ...[
        'tasks a day',
        'of',
        'at the peak',
        'cores: API',
        'worker',
        'Redis',
        'PostgreSQL',
        'stored a day',
        'log a day',
      ],
      ...['log at the peak', 'backlog', 'drained after', 'its memory in Redis'],
    ],
    tasksADay.flatMap((tasks) =>
      costs.map((cost) => {
        const day = simulateDay(tasks, cost, queued);
        return [
          tasks.toLocaleString('en'),
          cost.title,
          `${Math.round(day.peakPerSecond).toLocaleString('en')}/s`,
          ...PARTS.map((part) => `${day.cores[part].toFixed(2)} of ${day.needed[part]}`),
          sizeOf(day.storedBytes),
          sizeOf(day.walBytes),
          `${sizeOf(day.walPerSecondAtPeak)}/s`,
          Math.round(day.longestBacklog).toLocaleString('en'),
          `${day.secondsToDrain} s`,
          sizeOf(day.redisBytes),
        ];
      }),
    ),
  );
  return `${perTask}\n\nA queued run takes ${queued.redisPerRun} B in Redis. Beyond the admission window the pace is ${queued.beyondWindow.toFixed(2)} of what it is within.\n\n${days}`;
}

export function capacityPage(page: string): string {
  const [begin, end] = MARKS;
  const [from, to] = [page.indexOf(begin), page.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`${PAGE} has no ${begin} … ${end}`);
  return `${page.slice(0, from)}${begin}\n\n${capacityModel()}\n\n${page.slice(to)}`;
}

function perPart(of: (part: Part) => number): Record<Part, number> {
  return { api: of('api'), worker: of('worker'), redis: of('redis'), postgres: of('postgres') };
}

function resultOf(name: string): string {
  return readFileSync(path.join(projectRoot(), 'bench', 'results', `${name}.md`), 'utf8');
}

function rowOf(text: string, pattern: string): RegExpExecArray {
  const found = new RegExp(pattern, 'm').exec(text);
  if (found === null) throw new Error(`nothing in the results is like ${pattern}`);
  return found;
}

function sizeOf(bytes: number): string {
  const [unit, size] =
    bytes >= 1e12 ? ['TB', 1e12] : bytes >= 1e9 ? ['GB', 1e9] : bytes >= 1e6 ? ['MB', 1e6] : ['kB', 1e3];
  return `${(bytes / size).toFixed(1)} ${unit}`;
}

if (process.argv[1] === import.meta.filename) {
  const { values } = parseArgs({ options: { tasks: { type: 'string' } } });
  const file = path.join(projectRoot(), PAGE);
  if (values.tasks === undefined) writeFileSync(file, capacityPage(readFileSync(file, 'utf8')));
  else console.log(capacityModel([Number(values.tasks)]));
}
