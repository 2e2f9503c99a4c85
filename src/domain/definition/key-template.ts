/** Keys that a definition makes from a template: what they may name, and what they are for one run. */
import type { Json } from '../../schemas/json.ts';
import {
  inspectTemplates,
  resolveTemplates,
  type TemplateNames,
  type TemplateReference,
  type TemplateScope,
} from '../templates/templates.ts';
import type { FaultList } from './fault-list.ts';

export interface KeyCheck {
  names: TemplateNames;
  faults: FaultList;
  /** For a name that there is not. */
  suggest(name: string): string;
}

/** Reports the faults of the key; `reject` says why a reference may not be in it, undefined: it may. Returns the references. */
export function checkKey(
  key: string,
  path: string,
  { names, faults, suggest }: KeyCheck,
  reject: (reference: TemplateReference) => string | undefined,
): TemplateReference[] {
  const found = inspectTemplates(key, names, { suggest });
  faults.addAll(found.faults.map(({ message }) => ({ path, message })));
  return found.references.filter((reference) => {
    const rejection = reference.kind === 'secret' ? 'a key is compared and must not hold secrets' : reject(reference);
    if (rejection !== undefined) faults.add(path, `${reference.source}: ${rejection}`);
    return rejection === undefined;
  });
}

/** Undefined for a key that says nothing (null or an empty text): everything without a value would be one and the same. */
export function resolveKey(
  key: string,
  scope: Pick<TemplateScope, 'params' | 'run' | 'outputs' | 'isServiceCall'>,
  names: TemplateNames,
): Json | undefined {
  const value = resolveTemplates(key, { ...scope, secret: () => undefined }, names);
  return value === null || value === '' ? undefined : value;
}
