/** The key under which a request may be repeated: in the header or in the body. */
import type { Request, Response } from 'express';
import { OrchestratorError } from '../../domain/errors.ts';
import type { AcceptedRun } from '../../engine/ports/use-cases.ts';

const HEADER = 'Idempotency-Key';
const KEY = /^[\x20-\x7e]{1,255}$/;

export function idempotencyKey(request: Request, inBody?: string): string | undefined {
  const inHeader = request.get(HEADER);
  if (inHeader === undefined) return inBody;
  if (!KEY.test(inHeader)) throw bad('must be 1 to 255 printable ASCII characters');
  if (inBody !== undefined && inBody !== inHeader) throw bad('differs from idempotency_key in the body');
  return inHeader;
}

/** A bulk request has a key per item, if any; one for all would be silently without effect. */
export function rejectIdempotencyKey(request: Request, instead: string): void {
  if (request.get(HEADER) !== undefined) throw bad(`is not taken here; ${instead}`);
}

/** Says that nothing new was started: the key had been used before, or the workflow's `dedupe` found an execution. */
export function setReplayHeaders(response: Response, { repeated, deduplicated }: AcceptedRun): void {
  if (deduplicated === true) response.setHeader('Execution-Deduplicated', 'true');
  else if (repeated) response.setHeader('Idempotency-Replayed', 'true');
}

function bad(message: string): OrchestratorError {
  return new OrchestratorError('invalid_request', `${HEADER} ${message}`, { errors: [{ path: HEADER, message }] });
}
