import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import {
  barredFrom,
  FINAL_RUN_STATUSES,
  RUN_MOVES,
  RUN_STATES,
  RUN_STATUSES,
  RUNS_UNDER_WAY,
  type RunStatus,
  TASK_MOVES,
  TASK_STATES,
  TASK_STATUSES,
  type TaskStatus,
} from '../../../../src/domain/runs/run-states.ts';
import { runStatus, taskStatus } from '../../../../src/schemas/requests.ts';

interface Move {
  from: readonly string[];
  to: readonly string[];
}

const MOVES: ReadonlyArray<[name: string, move: Move]> = Object.entries(RUN_MOVES);
const isFinal = (status: string) => RUN_STATES[status as RunStatus].final;

/** All that can be reached from here, itself included. */
function reachable(from: string, moves: readonly Move[]): Set<string> {
  const found = new Set([from]);
  // A set that grows while it is walked is walked to its end.
  for (const status of found) {
    for (const move of moves) if (move.from.includes(status)) for (const next of move.to) found.add(next);
  }
  return found;
}

describe('the states of runs', () => {
  test('are those that clients read', () => {
    expect([...RUN_STATUSES].sort()).toEqual([...runStatus.options].sort());
  });

  test('can all be reached by one that is accepted', () => {
    const moves = MOVES.map(([, move]) => move);
    expect([...reachable('pending', moves)].sort()).toEqual([...RUN_STATUSES].sort());
  });

  test('lead to an end, whichever it is in', () => {
    const moves = MOVES.map(([, move]) => move);
    expect(RUN_STATUSES.filter((status) => ![...reachable(status, moves)].some(isFinal))).toEqual([]);
  });

  test('are left by one that has ended only to be done again or compensated, and then it is open', () => {
    const again = MOVES.filter(([, { from }]) => from.some(isFinal));
    expect(again.map(([name]) => name).sort()).toEqual(['compensateLate', 'rerun', 'retry', 'retryCompensation']);
    for (const [, { from, to }] of again) {
      expect(from.every(isFinal)).toBe(true);
      expect(to.some(isFinal)).toBe(false);
    }
  });

  test('are left by one that completed only when it is run again', () => {
    expect(MOVES.filter(([, { from }]) => from.includes('completed')).map(([name]) => name)).toEqual(['rerun']);
  });

  test('change with every move', () => {
    for (const [name, { from, to }] of MOVES) {
      expect({ name, stays: from.filter((status) => to.includes(status)) }).toEqual({ name, stays: [] });
      expect({ name, twice: from.length + to.length - new Set([...from, ...to]).size }).toEqual({ name, twice: 0 });
    }
  });

  test('end as failed, completed, cancelled or compensated by moves of their own', () => {
    const ends = MOVES.filter(([, { to }]) => to.some(isFinal));
    expect(ends.map(([name]) => name).sort()).toEqual(['end', 'endCancelled', 'endCompensated']);
    expect(ends.flatMap(([, { to }]) => to).sort()).toEqual([...FINAL_RUN_STATUSES].sort());
  });

  test('bar a cancellation of what is cancelled or compensated already', () => {
    expect(barredFrom('cancel')).toEqual(['cancelling', 'compensating']);
    expect(barredFrom('replace')).toEqual(['cancelling', 'compensating']);
  });
});

describe('the states of tasks', () => {
  test('are those that clients read', () => {
    expect([...TASK_STATUSES].sort()).toEqual([...taskStatus.options].sort());
  });

  test('can all be reached by one that has a row, and all lead to an end', () => {
    const moves: Move[] = Object.values(TASK_MOVES);
    const ends = (status: string) => TASK_STATES[status as TaskStatus].final;
    expect([...reachable('pending', moves)].sort()).toEqual([...TASK_STATUSES].sort());
    expect(TASK_STATUSES.filter((status) => ![...reachable(status, moves)].some(ends))).toEqual([]);
  });

  test('are left by one that has ended only when it is done again', () => {
    const moves: Array<[string, Move]> = Object.entries(TASK_MOVES);
    const ends = (status: string) => TASK_STATES[status as TaskStatus].final;
    expect(moves.filter(([, { from }]) => from.some(ends)).map(([name]) => name)).toEqual(['reopen']);
  });
});

describe('the schema of the database', () => {
  const schema = readFileSync(fileURLToPath(new URL('../../../../prisma/schema.prisma', import.meta.url)), 'utf8');
  const modelOf = (name: string) => new RegExp(`\\nmodel ${name} \\{\\n([\\s\\S]*?)\\n\\}`).exec(schema)?.[1] ?? '';
  const wordsOf = (text: string) => [...text.matchAll(/'([a-z_]+)'/g)].map(([, word = '']) => word);
  /** Of the indexes on some of the rows. */
  const statusesIn = (model: string) =>
    [...modelOf(model).matchAll(/where: raw\("([^"]*)"\)/g)].flatMap(([, where = '']) =>
      [...where.matchAll(/status (?:=|<>) (?:ANY \(ARRAY\[[^\]]*\]\)|'\w+')/g)].flatMap(([condition]) =>
        wordsOf(condition),
      ),
    );

  test('knows runs and tasks by the same words', () => {
    const ofRuns = statusesIn('Run');
    const ofTasks = statusesIn('Task');
    expect(ofRuns.length).toBeGreaterThan(8);
    expect(ofTasks.length).toBeGreaterThan(0);
    expect(ofRuns.filter((word) => !RUN_STATUSES.includes(word as RunStatus))).toEqual([]);
    expect(ofTasks.filter((word) => !TASK_STATUSES.includes(word as TaskStatus))).toEqual([]);
    expect(/status +String +@default\("(\w+)"\)/.exec(modelOf('Run'))?.[1]).toBe('pending');
  });

  test('has the runs under way in an index of their own', () => {
    const index = /ARRAY\[([^\]]*)\]\)"\), map: "run_under_way_check_at"/.exec(modelOf('Run'))?.[1] ?? '';
    expect(wordsOf(index)).toEqual(RUNS_UNDER_WAY);
  });
});
