/** Faults of the system as named problems: the same name, the same words, wherever they are shown. Pure. */
import { cannotPass, type FaultGroup, type FaultKind, plainWords, remedyOf } from './system-faults.ts';
import { listed } from './why-causes.ts';

export const FAULT_CODES = [
  'database_not_usable',
  'statements_failing',
  'deliveries_failing',
  'background_work_failing',
  'no_progress',
] as const;
export type FaultCode = (typeof FAULT_CODES)[number];

export interface Problem {
  code: FaultCode;
  message: string;
  since: number;
  todo: string;
}

const CODES: Record<FaultKind, FaultCode> = {
  write_path: 'database_not_usable',
  connection: 'statements_failing',
  statement: 'statements_failing',
  delivery: 'deliveries_failing',
  work: 'background_work_failing',
  progress: 'no_progress',
};

export function codeOf({ kind }: Pick<FaultGroup, 'kind'>): FaultCode {
  return CODES[kind];
}

/** With what the server said, or, where that is not for the caller, with what its class means. */
export function wordsOf(fault: FaultGroup): string {
  const { class: of, message, reporters } = fault;
  const said = `${of === 'error' ? '' : `${of}, `}${plainWords(of)}${message === '' ? '' : `: ${message}`}`;
  const where = reporters.length === 0 ? '' : ` (${listed(reporters, 3)})`;
  switch (codeOf(fault)) {
    case 'database_not_usable':
      return `Tasks cannot be committed on this database (${said}).${where}`;
    case 'statements_failing':
      return `The database does not take ${listed(fault.sources, 3)} (${said}).${where}`;
    case 'deliveries_failing':
      return `Deliveries of ${listed(fault.lanes, 3)} end without an outcome (${said}).${where}`;
    case 'background_work_failing':
      return `Background work fails pass after pass: ${listed(fault.sources, 3)} (${said}).${where}`;
    case 'no_progress':
      return `Nothing is committed in ${listed(fault.sources, 3)} (${said}).${where}`;
  }
}

/** What was accepted is stored, and goes on by itself when the cause has ended. */
export function todoOf({ class: of }: FaultGroup): string {
  return `${remedyOf(of)} What was accepted goes on by itself then${cannotPass(of) ? ', without a restart' : ''}.`;
}

export function problemsOfFaults(faults: readonly FaultGroup[]): Problem[] {
  return faults.map((fault) => ({
    code: codeOf(fault),
    message: wordsOf(fault),
    since: fault.firstAt,
    todo: todoOf(fault),
  }));
}

/** In one line each. */
export function linesOfFaults(faults: readonly FaultGroup[]): string[] {
  return faults.map((fault) => `${codeOf(fault)}: ${wordsOf(fault)}`);
}

/** What concerns all tenants is for the members of this one. */
const OPERATORS = 'default';

/** Other tenants see the class and what it means, and neither what the server said nor who said it. */
export function visibleFaults(faults: readonly FaultGroup[], tenantId: string | undefined): readonly FaultGroup[] {
  if (tenantId === OPERATORS) return faults;
  return faults.map((fault) => ({ ...fault, message: '', reporters: [] }));
}
