/**
 * What a JSON document from outside must not contain, whatever its schema says: text that PostgreSQL cannot store,
 * keys that would be prototypes, nesting that overflows a stack further on. Run it before any recursive code.
 */

export interface Fault {
  /** Dotted path into the body, for example `actions.0.config`; empty for the body itself. */
  path: string;
  message: string;
}

export const MAX_DEPTH = 100;
/** More faults than this help nobody. */
const MAX_FAULTS = 100;
/** A key of this name could change what every object has. */
export const PROTOTYPE_NAMES: ReadonlySet<string> = new Set(['__proto__', 'constructor', 'prototype']);
const SHOWN_KEY_LENGTH = 64;
/** In Unicode mode a pair is one character, so only halves without their other half match. */
const LONE_SURROGATE = /\p{Surrogate}/u;

/** How deep a value is nested: a scalar 0, an empty list 1. */
interface Visit {
  value: unknown;
  depth: number;
  key: string;
  parent: Visit | undefined;
}

/** All faults of a parsed JSON value, in the order of the document. Keeps its own stack: nesting cannot overflow it. */
export function guardJson(value: unknown, options: { maxDepth?: number } = {}): Fault[] {
  const maxDepth = options.maxDepth ?? MAX_DEPTH;
  const faults: Fault[] = [];
  const stack: Visit[] = [{ value, depth: 1, key: '', parent: undefined }];
  for (let visit = stack.pop(); visit !== undefined && faults.length < MAX_FAULTS; visit = stack.pop()) {
    const at = visit;
    const fault = (message: string) => faults.push({ path: pathOf(at), message });
    if (typeof at.value === 'string') {
      const bad = badText(at.value);
      if (bad !== undefined) fault(bad);
    } else if (typeof at.value === 'number') {
      if (!Number.isFinite(at.value)) fault('must be a finite number');
    } else if (typeof at.value === 'object' && at.value !== null) {
      if (at.depth > maxDepth) fault(`is nested more than ${maxDepth} levels deep`);
      else pushChildren(stack, at, fault);
    }
  }
  return faults;
}

function pushChildren(stack: Visit[], parent: Visit, fault: (message: string) => void): void {
  const container = parent.value;
  if (Array.isArray(container)) {
    for (let index = container.length - 1; index >= 0; index--) {
      stack.push({ value: container[index], depth: parent.depth + 1, key: String(index), parent });
    }
    return;
  }
  const entries = Object.entries(container as object); // The caller has seen that it is a non-null object.
  for (const [key] of entries) {
    if (PROTOTYPE_NAMES.has(key)) fault(`the key '${key}' is not allowed`);
    const bad = badText(key);
    if (bad !== undefined) fault(`a key ${bad}`);
  }
  for (const [key, value] of entries.reverse()) stack.push({ value, depth: parent.depth + 1, key, parent });
}

function badText(text: string): string | undefined {
  if (text.includes('\0')) return 'contains a NUL character';
  if (LONE_SURROGATE.test(text)) return 'contains half of a surrogate pair';
  return undefined;
}

/** Only the outermost keys of a very deep path are shown. */
function pathOf(visit: Visit): string {
  const keys: string[] = [];
  for (let at: Visit | undefined = visit; at?.parent !== undefined; at = at.parent) keys.push(at.key);
  return keys
    .reverse()
    .slice(0, MAX_DEPTH + 1)
    .map((key) => printable(key))
    .join('.');
}

function printable(key: string): string {
  return key
    .slice(0, SHOWN_KEY_LENGTH)
    .replaceAll('\0', '\u2400')
    .replace(/\p{Surrogate}/gu, '\ufffd');
}
