/** Walks a JSON value and replaces its texts, within bounds. */
import type { Json } from '../../schemas/json.ts';
import { OrchestratorError } from '../errors.ts';
import { hasTemplate } from './template-syntax.ts';

/** Deeper than anything that passes the border. */
const MAX_DEPTH = 200;
/** Up to so many objects are put in by reference unmeasured; measuring them is work. */
const FREE_OBJECTS = 32;

/**
 * Replaces every text that holds a template; untouched parts stay the same objects. `literal` top-level fields and
 * keys are left alone.
 */
export function mapTexts(
  value: Json,
  literal: readonly string[] | undefined,
  replace: (text: string, path: () => string) => Json,
): Json {
  const path: string[] = [];
  const visit = (item: Json): Json => {
    if (typeof item === 'string') return hasTemplate(item) ? replace(item, () => path.join('.')) : item;
    if (typeof item !== 'object' || item === null) return item;
    if (path.length > MAX_DEPTH)
      throw new OrchestratorError('template_unresolved', `nested more than ${MAX_DEPTH} levels deep`);
    let changed = false;
    const into = (key: string, child: Json): Json => {
      if (path.length === 0 && literal?.includes(key) === true && !Array.isArray(item)) return child;
      path.push(key);
      const mapped = visit(child);
      path.pop();
      if (mapped !== child) changed = true;
      return mapped;
    };
    const copy = Array.isArray(item)
      ? item.map((child, index) => into(String(index), child))
      : Object.fromEntries(Object.entries(item).map(([key, child]) => [key, into(key, child)]));
    return changed ? copy : item;
  };
  return visit(value);
}

/** How much a resolved value may still grow. */
export class SizeBudget {
  left: number;
  #objects = 0;
  readonly #lengths = new Map<object, number>();

  constructor(characters: number) {
    this.left = characters;
  }

  /** False when it is used up. */
  take(value: Json): boolean {
    if (typeof value === 'string') this.left -= value.length;
    else if (typeof value === 'object' && value !== null && ++this.#objects > FREE_OBJECTS)
      this.left -= this.#measure(value);
    return this.left >= 0;
  }

  #measure(value: object): number {
    const cached = this.#lengths.get(value);
    if (cached !== undefined) return cached;
    const length = JSON.stringify(value).length;
    this.#lengths.set(value, length);
    return length;
  }
}
