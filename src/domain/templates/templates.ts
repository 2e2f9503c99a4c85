/**
 * Checks what templates name, and resolves them.
 *
 * | template | names |
 * | --- | --- |
 * | `{{x}}` | the parameter `x`, or else the whole output of the action `x` |
 * | `{{x.path}}` | the output of the action `x`, or else a part of the parameter `x` |
 * | `{{params.x.path}}`, `{{params}}` | a parameter, declared or not; all of them |
 * | `{{run.id}}` | of the run: see RUN_FIELDS |
 * | `{{secrets.NAME}}` | a secret |
 * | `{{item.path}}`, `{{item_index}}` | in an action with `for_each`: its item, and the position of that from 0 |
 * | `{{iteration}}`, `{{previous.path}}` | in an action with `repeat`: its number from 1, and the output of the one before or null |
 *
 * So a parameter and an action may share a name: the parameter is named alone, the action with a path, and `params.`
 * reaches the parameter with a path. Ids may hold dots: the longest id that fits wins. Paths go through own properties
 * and list indices only. What a template becomes is never read as a template again. Keys of objects are left alone.
 */
import type { Json, JsonObject } from '../../schemas/json.ts';
import { didYouMean } from '../../schemas/nearest.ts';
import { type FieldFault, OrchestratorError } from '../errors.ts';
import { mapTexts, SizeBudget } from './map-texts.ts';
import { parseText, shorten, type TemplatePart } from './template-syntax.ts';

export interface TemplateNames {
  parameters: ReadonlySet<string>;
  actions: ReadonlySet<string>;
  /** What only this action knows, as `item` in a fan-out; it goes before everything else of that name. */
  locals?: ReadonlySet<string> | undefined;
}

export interface TemplateReference {
  kind: 'param' | 'action' | 'run' | 'secret' | 'local';
  /** Of the parameter, action, field or secret; empty for all parameters (`{{params}}`) and the whole run (`{{run}}`). */
  name: string;
  path: readonly string[];
  /** The template as written. */
  source: string;
}

export interface TemplateScope {
  params: JsonObject;
  run: JsonObject;
  /** Null for an action that was skipped, or that failed and was tolerated. */
  outputs: ReadonlyMap<string, Json>;
  locals?: JsonObject | undefined;
  isServiceCall(actionId: string): boolean;
  secret(name: string): string | undefined;
}

export interface TemplateOptions {
  /** Top-level keys whose values are handed over as written. */
  literal?: readonly string[] | undefined;
  /** What a message says after an unknown name; by default the nearest known one, which is work when there are many. */
  suggest?: ((name: string) => string) | undefined;
}

export const RUN_FIELDS = [
  'id',
  'workflow_id',
  'workflow_version',
  'tenant_id',
  'user_id',
  'correlation_id',
  'created_at',
  'execution_context',
] as const;
/** No action may be called so: the first name of a template would be ambiguous. */
export const RESERVED_NAMES: ReadonlySet<string> = new Set(['params', 'run', 'secrets', 'item', 'item_index']);

/** Many templates that each become something large must not fill the memory. */
const MAX_RESOLVED_LENGTH = 16 * 1024 * 1024;
/** Longer than any id: no need to try longer spellings. */
const MAX_ID_LENGTH = 255;
/** What the templates in `value` name. Throws when one is malformed or names something that is not there. */
export function referencesOf(value: Json, names: TemplateNames, options: TemplateOptions = {}): TemplateReference[] {
  const { references, faults } = inspectTemplates(value, names, options);
  const first = faults[0];
  if (first !== undefined) throw new OrchestratorError('template_unresolved', first.message, { errors: faults });
  return references;
}

/** The same without throwing; the faults' paths are relative to `value`. */
export function inspectTemplates(
  value: Json,
  names: TemplateNames,
  options: TemplateOptions = {},
): { references: TemplateReference[]; faults: FieldFault[] } {
  const references: TemplateReference[] = [];
  const faults: FieldFault[] = [];
  const suggest = options.suggest ?? suggester(names);
  mapTexts(value, options.literal, (text, path) => {
    const parsed = parseText(text);
    if (!parsed.ok) faults.push({ path: path(), message: parsed.message });
    for (const part of parsed.ok ? parsed.parts : []) {
      if (part.kind === 'text') continue;
      const bound = bindTemplate(part, names, suggest);
      if (bound.ok) references.push(bound.reference);
      else faults.push({ path: path(), message: bound.message });
    }
    return text;
  });
  return { references, faults };
}

/**
 * The value with its templates replaced. One that is the whole text keeps its type; inside a longer text it becomes
 * text (lists and objects as JSON, null as nothing). A parameter that was not given is null, however deep the path; so
 * is every path into a null output. Any other path that is not there is an error. Without templates the same value.
 */
export function resolveTemplates(
  value: Json,
  scope: TemplateScope,
  names: TemplateNames,
  options: TemplateOptions = {},
): Json {
  const budget = new SizeBudget(MAX_RESOLVED_LENGTH);
  return mapTexts(value, options.literal, (text, path) => {
    const parsed = parseText(text);
    const unresolved = (message: string) =>
      new OrchestratorError('template_unresolved', message, { errors: [{ path: path(), message }] });
    if (!parsed.ok) throw unresolved(parsed.message);
    const find = (part: TemplatePart & { kind: 'path' }): Json => {
      const bound = bindTemplate(part, names);
      if (!bound.ok) throw unresolved(bound.message);
      const found = lookUp(bound.reference, scope);
      if (!found.ok) throw unresolved(found.message);
      return found.value;
    };
    const [only] = parsed.parts;
    const result =
      parsed.parts.length === 1 && only?.kind === 'path'
        ? find(only)
        : joinTexts(parsed.parts, (part) => (part.kind === 'text' ? part.text : textOf(find(part))), budget);
    if (!budget.take(result)) throw unresolved(`the resolved input is larger than ${MAX_RESOLVED_LENGTH} characters`);
    return result;
  });
}

function joinTexts(
  parts: readonly TemplatePart[],
  textFor: (part: TemplatePart) => string,
  budget: SizeBudget,
): string {
  let joined = '';
  for (const part of parts) {
    joined += textFor(part);
    if (joined.length > budget.left) return joined;
  }
  return joined;
}

export function textOf(value: Json): string {
  if (typeof value === 'string') return value;
  return value === null ? '' : JSON.stringify(value);
}

export type Bound = { ok: true; reference: TemplateReference } | { ok: false; message: string };

export function bindTemplate(
  part: TemplatePart & { kind: 'path' },
  names: TemplateNames,
  suggest: (name: string) => string = suggester(names),
): Bound {
  const [first = '', ...rest] = part.segments;
  const reject = (what: string): Bound => ({ ok: false, message: `${shorten(part.source)}: ${what}` });
  const refer = (kind: TemplateReference['kind'], name: string, path: readonly string[]): Bound => ({
    ok: true,
    reference: { kind, name, path, source: part.source },
  });
  if (names.locals?.has(first) === true) return refer('local', first, rest);
  if (first === 'params') return refer('param', rest[0] ?? '', rest.slice(1));
  if (first === 'run') {
    const field = rest[0] ?? '';
    const isRunField = field === '' || RUN_FIELDS.some((name) => name === field);
    if (!isRunField)
      return reject(
        `a run has no '${shorten(field)}'${didYouMean(field, RUN_FIELDS)}; it has ${RUN_FIELDS.join(', ')}`,
      );
    return refer('run', field, rest.slice(1));
  }
  if (first === 'secrets') {
    const [name] = rest;
    if (name === undefined || rest.length > 1) return reject('a secret is named as {{secrets.NAME}}');
    return refer('secret', name, []);
  }
  if (part.segments.length === 1 && names.parameters.has(first)) return refer('param', first, []);
  const id = longestId(part.segments.slice(0, part.dotted), names.actions);
  if (id !== undefined) return refer('action', id.name, part.segments.slice(id.segments));
  if (names.parameters.has(first)) return refer('param', first, rest);
  return reject(
    `no parameter and no action is called '${shorten(first)}'${suggest(first)}; a parameter that is not declared is {{params.${shorten(first)}}}`,
  );
}

/** The longest action id that the first segments spell when joined with dots. */
function longestId(
  segments: readonly string[],
  ids: ReadonlySet<string>,
): { name: string; segments: number } | undefined {
  let found: { name: string; segments: number } | undefined;
  let joined = '';
  for (const [index, segment] of segments.entries()) {
    joined = index === 0 ? segment : `${joined}.${segment}`;
    if (joined.length > MAX_ID_LENGTH) break;
    if (ids.has(joined)) found = { name: joined, segments: index + 1 };
  }
  return found;
}

function suggester(names: TemplateNames): (name: string) => string {
  return (name) => didYouMean(name, names.parameters) || didYouMean(name, names.actions);
}

type Found = { ok: true; value: Json } | { ok: false; message: string };

function lookUp(reference: TemplateReference, scope: TemplateScope): Found {
  const { kind, name, path, source } = reference;
  const found = (value: Json): Found => ({ ok: true, value });
  if (kind === 'secret') {
    const secret = scope.secret(name);
    if (secret !== undefined) return found(secret);
    return { ok: false, message: `${shorten(source)}: there is no secret '${shorten(name)}'` };
  }
  if (kind === 'action') {
    const output = scope.outputs.get(name);
    if (output === undefined) return { ok: false, message: `${shorten(source)}: '${name}' has no output yet` };
    if (output === null) return found(null);
    const start = scope.isServiceCall(name) ? throughResponse(output, path) : output;
    return walk(start, path, source, `the output of '${name}'`);
  }
  if (kind === 'local') {
    const value = scope.locals?.[name] ?? null;
    return value === null ? found(null) : walk(value, path, source, `'${name}'`);
  }
  const root = kind === 'param' ? scope.params : scope.run;
  if (name === '') return found(root);
  const value = ownProperty(root, name);
  if (value === undefined || value === null) return found(null);
  return walk(value, path, source, kind === 'param' ? `the parameter '${name}'` : `the run's '${name}'`);
}

/** The older services looked in a service's answer itself; `response` holds it now. */
function throughResponse(output: Json, path: readonly string[]): Json {
  const [first] = path;
  if (first === undefined || ownProperty(output, first) !== undefined) return output;
  const response = ownProperty(output, 'response');
  return response !== undefined && ownProperty(response, first) !== undefined ? response : output;
}

function walk(start: Json, path: readonly string[], source: string, owner: string): Found {
  let value = start;
  for (const [depth, key] of path.entries()) {
    const next = ownProperty(value, key);
    if (next === undefined) {
      const near =
        typeof value === 'object' && value !== null && !Array.isArray(value) ? didYouMean(key, firstKeys(value)) : '';
      const missing = shorten(path.slice(0, depth + 1).join('.'));
      return { ok: false, message: `${shorten(source)}: ${owner} has no '${missing}'${near}` };
    }
    value = next;
  }
  return { ok: true, value };
}

function firstKeys(value: object): string[] {
  return Object.keys(value).slice(0, 1_000);
}

/** An own property of an object or an element of a list; nothing inherited, no `length`. */
export function ownProperty(value: Json, key: string): Json | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  if (Array.isArray(value)) return /^(?:0|[1-9]\d{0,9})$/.test(key) ? value[Number(key)] : undefined;
  return Object.hasOwn(value, key) ? value[key] : undefined;
}
