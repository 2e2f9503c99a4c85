/** `cache` of an action: what its key may name, and for which actions an output of another run can stand in at all. */
import type { Json } from '../../schemas/json.ts';
import type { Action } from './definition.ts';
import { checkKey, type KeyCheck } from './key-template.ts';

/** Types that have to run in every run, and are never cached: they wait, ask a person, or start something else. */
const NEVER_CACHED: ReadonlySet<string> = new Set(['wait', 'approval', 'signal', 'external', 'workflow']);

/** What else an action may have that a cached output cannot stand in for. */
const INSTEAD: ReadonlyArray<readonly [field: string, why: string]> = [
  [
    'for_each',
    'an action with for_each has an output for each item; put what is to be cached into a workflow of its own',
  ],
  ['repeat', 'an action with repeat is made of iterations; put what is to be cached into a workflow of its own'],
  ['compensate', 'what was served from the cache has not happened in this run, so there is nothing to compensate'],
];

export function checkCache(action: Action, type: string | undefined, path: string, check: KeyCheck): string[] {
  const { cache } = action;
  if (cache === undefined) return [];
  if (type !== undefined && NEVER_CACHED.has(type))
    check.faults.add(`${path}.cache`, `the output of '${type}' cannot be cached`);
  for (const [field, why] of INSTEAD) if (Object.hasOwn(action, field)) check.faults.add(`${path}.cache`, why);
  const references = checkKey(cache.key, `${path}.cache.key`, check, () => undefined);
  return references.flatMap(({ kind, name }) => (kind === 'action' ? [name] : []));
}

/**
 * What a cached output belongs to: this action of this workflow, as long as it does the same, and the key. Another
 * action type or config, in a new version, starts with an empty cache.
 */
export function cacheEntryOf(workflowId: string, { action_id, action_type, config }: Action, key: Json): Json {
  return [workflowId, action_id, action_type, config, key];
}
