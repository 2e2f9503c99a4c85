/** `concurrency` of a workflow: of its runs with one key only so many are under way at a time. */
import type { JsonObject } from '../../schemas/json.ts';
import { OrchestratorError } from '../errors.ts';
import { textOf } from '../templates/templates.ts';
import { KNOWN_AT_ACCEPTANCE, namesOf } from './dedupe.ts';
import type { Definition } from './definition.ts';
import { checkKey, type KeyCheck, resolveKey } from './key-template.ts';

/** It is shown, and it is in an index. */
const MAX_KEY_LENGTH = 1_000;

export function checkConcurrency({ concurrency }: Definition, check: KeyCheck): void {
  if (concurrency === undefined) return;
  checkKey(concurrency.key, 'concurrency.key', check, ({ kind, name }) => {
    if (kind === 'action') return 'there are no outputs yet when an execution is accepted';
    if (kind === 'run' && !KNOWN_AT_ACCEPTANCE.has(name))
      return `is not known when an execution is accepted; of the run there are ${[...KNOWN_AT_ACCEPTANCE].join(', ')}`;
    return undefined;
  });
}

/** The key of a run that is about to be accepted; undefined: it stands in no group. Throws what makes it no key. */
export function concurrencyKeyOf(definition: Definition, params: JsonObject, run: JsonObject): string | undefined {
  const { concurrency } = definition;
  if (concurrency === undefined) return undefined;
  const scope = { params, run, outputs: new Map(), isServiceCall: () => false };
  const value = resolveKey(concurrency.key, scope, namesOf(definition));
  if (value === undefined) return undefined;
  // PostgreSQL stores no NUL in a text.
  const key = textOf(value).replaceAll('\0', '␀');
  if (key.length <= MAX_KEY_LENGTH) return key;
  const message = `the key has ${key.length} characters; at most ${MAX_KEY_LENGTH} are possible`;
  throw new OrchestratorError('invalid_request', message, { errors: [{ path: 'concurrency.key', message }] });
}
