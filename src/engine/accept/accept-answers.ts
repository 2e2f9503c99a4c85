/** The answer to a request for a run: the new run, one that was there already, or why there is none. */
import type { Concurrency } from '../../domain/definition/definition.ts';
import { OrchestratorError } from '../../domain/errors.ts';
import type { NewRun, StoredRun } from '../ports/runs.ts';
import type { AcceptedRun, ItemFault } from '../ports/use-cases.ts';

/** A run that passed every check and has only to be stored. */
export interface Prepared {
  run: NewRun;
  warnings: string[];
}
export type Stored = Prepared & { row: StoredRun };

/** A key that was used with another body is a conflict of its own item. */
export function answerOf({ run, warnings, row }: Stored): AcceptedRun | ItemFault {
  if (row.full !== undefined) return fullOf(row.full);
  if (row.deduplicated === true && run.dedupe?.policy === 'reject') return duplicateOf(row);
  if (!row.inserted && row.deduplicated !== true && (row.requestHash ?? undefined) !== run.requestHash) {
    const detail = `The idempotency key '${run.idempotencyKey ?? ''}' was used with another body`;
    return { code: 'idempotency_conflict', detail, errors: [] };
  }
  return {
    id: row.id,
    status: row.status,
    workflowId: 'workflow_id' in row.of ? row.of.workflow_id : null,
    workflowVersion: 'workflow_id' in row.of ? row.of.version : null,
    createdAt: row.createdAt,
    warnings,
    repeated: !row.inserted,
    ...(row.deduplicated === true ? { deduplicated: true } : {}),
  };
}

export function acceptedOrThrow([stored]: readonly Stored[]): AcceptedRun {
  if (stored === undefined) throw new Error('nothing was stored');
  const accepted = answerOf(stored);
  if (!('code' in accepted)) return accepted;
  const { code, detail, errors, executionId } = accepted;
  throw new OrchestratorError(code, detail, { errors, executionId });
}

/** Puts the answers of what was stored, and the faults of what was not, in the order of the items. */
export function inOrder(
  prepared: ReadonlyArray<Prepared | ItemFault>,
  stored: ReadonlyArray<AcceptedRun | ItemFault>,
): Array<AcceptedRun | ItemFault> {
  const answers = stored[Symbol.iterator]();
  return prepared.map((item) => {
    if (!('run' in item)) return item;
    const answer = answers.next();
    if (answer.done === true) throw new Error('fewer runs were stored than prepared');
    return answer.value;
  });
}

function fullOf({ key, limit }: Concurrency): ItemFault {
  const detail = `Of the executions with the key '${key}' ${limit} are under way, as many as may be`;
  return { code: 'concurrency_limit', detail, errors: [] };
}

function duplicateOf({ id }: StoredRun): ItemFault {
  const detail = `Within the window of the workflow's dedupe the execution ${id} has the same key`;
  return { code: 'duplicate_run', detail, errors: [], executionId: id };
}
