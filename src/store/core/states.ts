/**
 * The states of runs and tasks as conditions of statements. They are written out, and are no parameters: a plan uses a partial
 * index only where its condition follows from what the statement says.
 */
import { barredFrom, RUN_MOVES, type RunMove } from '../../domain/runs/run-states.ts';

const WORD = /^[a-z_]+$/;

/** `('one', 'other')`. */
export function sqlList(words: readonly string[]): string {
  return `(${words.map(quoted).join(', ')})`;
}

/** Of a run that this move leads from. */
export function mayMove(move: RunMove, column = 'status'): string {
  const [only, ...others] = RUN_MOVES[move].from;
  return others.length === 0 ? `${column} = ${quoted(only)}` : `${column} IN ${sqlList([only, ...others])}`;
}

/** Of a run that this move leads from, or that is final. */
export function notBarredFrom(move: RunMove, column = 'status'): string {
  const [only = '', ...others] = barredFrom(move);
  return others.length === 0 ? `${column} <> ${quoted(only)}` : `${column} NOT IN ${sqlList([only, ...others])}`;
}

function quoted(word = ''): string {
  if (!WORD.test(word)) throw new Error(`no word for a statement: '${word}'`);
  return `'${word}'`;
}
