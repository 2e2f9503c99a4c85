/** A value from outside against its schema: what fits, or one error that names every fault. */
import type { z } from 'zod';
import { type FieldFault, OrchestratorError } from '../../domain/errors.ts';
import { parseWith } from '../../schemas/faults.ts';

const NAMED_IN_DETAIL = 10;

export function parse<S extends z.ZodType>(schema: S, value: unknown): z.output<S> {
  const parsed = parseWith(schema, value);
  if (parsed.ok) return parsed.value;
  throw new OrchestratorError('invalid_request', detailOf(parsed.faults), { errors: parsed.faults });
}

/** One sentence that names the first faults; the list beside it has them all. */
export function detailOf(faults: FieldFault[]): string {
  const named = faults
    .slice(0, NAMED_IN_DETAIL)
    .map(({ path, message }) => (path === '' ? message : `${path} ${message}`));
  const rest = faults.length - named.length;
  return `The request is not valid: ${named.join('; ')}${rest > 0 ? `; and ${rest} more` : ''}`;
}
