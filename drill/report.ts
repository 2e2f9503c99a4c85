/** The tables at the end. */
import { table } from '../test/harness/command-line/table.ts';

export interface Recovery {
  title: string;
  /** Runs that were under way. */
  affected: number;
  /** Until the first task was committed again. */
  movedMs: number;
  /** Until the last run that was under way had ended; undefined: it never did. */
  finishedMs: number | undefined;
  executedAgain: number;
}

export interface Result {
  backend: string;
  hurried: boolean;
  recoveries: Recovery[];
  accepted: number;
  finished: number;
  completed: number;
  tasks: number;
  lost: number;
  committedTwice: number;
  executedAgain: number;
  /** What the independent check found. */
  wrong: string | undefined;
}

export function reportOf(result: Result): string {
  const faults = result.recoveries.map(({ title, affected, movedMs, finishedMs, executedAgain }) => [
    title,
    String(affected),
    seconds(movedMs),
    finishedMs === undefined ? 'never' : seconds(finishedMs),
    String(executedAgain),
  ]);
  const totals = [
    ['runs accepted', String(result.accepted)],
    ['runs finished', String(result.finished)],
    ['of them completed', String(result.completed)],
    ['lost', String(result.lost)],
    ['tasks committed', String(result.tasks)],
    ['committed twice', String(result.committedTwice)],
    ['executed again', String(result.executedAgain)],
    ['independent check', result.wrong ?? 'nothing is wrong'],
  ];
  const heads = {
    faults: ['fault', 'runs under way', 'work moved again', 'all of them had finished', 'tasks executed again'],
    totals: ['', `queue in ${result.backend}${result.hurried ? ', short locks' : ''}`],
  };
  return `${table(heads.faults, faults)}\n\n${table(heads.totals, totals)}`;
}

export function seconds(milliseconds: number): string {
  return `${(milliseconds / 1000).toFixed(2)} s`;
}
