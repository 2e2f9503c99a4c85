/** A finding of the doctor is one line of its report. */
import { errorMessage } from '../domain/texts/error-message.ts';

export interface Finding {
  /** A word for scripts; docs/diagnosis.md has a row for each. */
  check: string;
  status: 'ok' | 'warning' | 'problem' | 'unknown';
  message: string;
  /** As docs/testing.md names it. */
  invariant?: string;
  whatToDo?: string;
  /** Some of the affected ids. */
  ids?: string[];
  /** The number of all affected ids. */
  total?: number;
  /** A safe repair exists: `--repair` does it. */
  repairable?: boolean;
  /** How many were repaired. */
  repaired?: number;
}

export const IDS_SHOWN = 20;

export function ok(check: string, message: string): Finding {
  return { check, status: 'ok', message };
}
export function warning(check: string, message: string, whatToDo: string): Finding {
  return { check, status: 'warning', message, whatToDo };
}
export function problem(check: string, message: string, whatToDo: string): Finding {
  return { check, status: 'problem', message, whatToDo };
}
export function unknown(check: string, error: unknown): Finding {
  const message = `could not be checked: ${errorMessage(error)}`;
  return { check, status: 'unknown', message, whatToDo: 'Mend what the message names, and ask again.' };
}

/** 0: healthy. 1: there are warnings. 2: there are problems that were not repaired. 3: something could not be checked. */
export function exitCode(findings: readonly Finding[]): number {
  const unrepaired = findings.filter(({ repaired, total }) => repaired === undefined || repaired < (total ?? 1));
  if (unrepaired.some(({ status }) => status === 'problem')) return 2;
  if (unrepaired.some(({ status }) => status === 'unknown')) return 3;
  return unrepaired.some(({ status }) => status === 'warning') ? 1 : 0;
}

const MARKS = { ok: '✓', warning: '!', problem: '✗', unknown: '?' } as const;

export function describeFinding(finding: Finding): string {
  const { check, status, message, invariant, whatToDo, ids = [], total = 0, repaired } = finding;
  const lines = [`${MARKS[status]} ${check}${invariant === undefined ? '' : ` (${invariant})`}: ${message}`];
  if (ids.length > 0) lines.push(`    ${ids.join(', ')}${total > ids.length ? ` and ${total - ids.length} more` : ''}`);
  if (repaired !== undefined) lines.push(`    repaired: ${repaired} of ${total}`);
  else if (whatToDo !== undefined) lines.push(`    → ${whatToDo}`);
  return lines.join('\n');
}
