/**
 * Whether a definition that fits its schema can work: names, dependencies, cycles, types, configs, parameters. Also
 * completes it: canonical action types, conditions as CEL, dependencies that only a template or an expression names.
 */
import type { Json } from '../../schemas/json.ts';
import { PROTOTYPE_NAMES } from '../../schemas/json-guard.ts';
import type { FieldFault } from '../errors.ts';
import { checkTriggers } from '../events/triggers.ts';
import { buildGraph } from '../graph/graph.ts';
import { localNames } from '../runs/parts.ts';
import { COMPENSATION_NAMES } from '../runs/saga.ts';
import { hasTemplate } from '../templates/template-syntax.ts';
import { inspectTemplates, ownProperty, RESERVED_NAMES, type TemplateNames } from '../templates/templates.ts';
import { boundedChecks, type Checks } from '../texts/checks.ts';
import { checkCache } from './cache.ts';
import type { CanonicalDraft } from './canonical-form.ts';
import { checkHeartbeat } from './check-heartbeat.ts';
import { checkRepetition } from './check-parts.ts';
import { checkConcurrency } from './concurrency.ts';
import { celOfCondition, suggestCel } from './conditions.ts';
import { checkDedupe } from './dedupe.ts';
import type { Action, ActionDefaults, Compensation, Definition } from './definition.ts';
import type { FaultList } from './fault-list.ts';
import { checkDeclaration } from './parameter-declaration.ts';
import { checkSignals } from './signals.ts';

/** What is known about action types and expressions when a definition is checked. */
export interface DefinitionCatalogue {
  /** The canonical type for a type or one of its older spellings. */
  canonical(type: string): string | undefined;
  names(): readonly string[];
  /** Faults of a config, with paths relative to it. */
  check(type: string, config: Json, checks: Checks): readonly FieldFault[];
  /** Top-level fields of a type's config that hold CEL and not templates. */
  literalFields(type: string): readonly string[];
  /** Why the config of a type may not hold secrets; undefined: it may. */
  rejectsSecrets?(type: string): string | undefined;
  /** Top-level fields of the config of such a type that may. */
  secretFields?(type: string): readonly string[];
  /** For actions that do not say; ours when left out. */
  defaults?: ActionDefaults;
  /** Of what its expressions, patterns and schemas are. */
  checks: Checks;
}

/** What CEL itself brings: the names of its types. */
const CEL_NAMES = [
  'bool',
  'bytes',
  'double',
  'dyn',
  'int',
  'list',
  'map',
  'null_type',
  'string',
  'timestamp',
  'duration',
  'type',
  'uint',
  'google',
];
/** Each round finds one cycle; the rest is reported the next time. */
const MAX_CYCLES = 10;
const SHOWN_CYCLE = 20;

interface Check {
  draft: CanonicalDraft;
  catalogue: DefinitionCatalogue;
  checks: Checks;
  faults: FaultList;
  names: TemplateNames;
  /** Both kinds of them, for suggestions. */
  allNames: readonly string[];
  /** By action_id; of two with one id, the first. */
  typeOf: ReadonlyMap<string, string>;
  variables: ReadonlySet<string>;
}

export function checkDefinition(draft: CanonicalDraft, catalogue: DefinitionCatalogue, faults: FaultList): Definition {
  const { definition } = draft;
  const checks = boundedChecks(catalogue.checks);
  const parameterNames = new Set(definition.parameters.map((parameter) => parameter.name));
  const actionIds = new Set(definition.actions.map((action) => action.action_id));
  const typeOf = new Map(
    definition.actions.map((action) => [action.action_id, catalogue.canonical(action.action_type) ?? '']),
  );
  const check: Check = {
    draft,
    catalogue,
    checks,
    faults,
    names: { parameters: parameterNames, actions: actionIds },
    allNames: [...parameterNames, ...actionIds],
    typeOf,
    variables: new Set(['params', 'run', 'outputs', ...actionIds, ...CEL_NAMES]),
  };

  checkDeclaration(definition.parameters, checks, faults);
  checkIds(check);
  const actions = definition.actions.map((action, index) => checkAction(check, action, index));
  if (definition.output !== undefined) checkOutput(check, definition.output);
  const keys = { names: check.names, faults, suggest: (name: string) => faults.suggest(name, check.allNames) };
  checkDedupe(definition, keys);
  checkSignals(actions, draft.names, faults);
  checkConcurrency(definition, keys);
  checkTriggers(definition, { checks, celNames: CEL_NAMES }, faults);
  checkCycles(check, actions);
  return { ...definition, actions };
}

function checkIds({ draft, faults }: Check): void {
  const { names, definition } = draft;
  const firstAt = new Map<string, number>();
  for (const [index, { action_id: id }] of definition.actions.entries()) {
    const path = `${names.actions}.${index}.${names.action_id}`;
    const before = firstAt.get(id);
    if (before !== undefined) faults.add(path, `'${id}' is already the id of ${names.actions}.${before}`);
    else firstAt.set(id, index);
    if (RESERVED_NAMES.has(id) || PROTOTYPE_NAMES.has(id)) {
      faults.add(path, `'${id}' has a meaning of its own in templates; choose another id`);
    }
  }
}

function checkAction(check: Check, action: Action, index: number): Action {
  const { draft, faults, names } = check;
  const path = `${draft.names.actions}.${index}`;
  const dependsOn = new Set<string>();
  for (const [at, dependency] of action.depends_on.entries()) {
    if (dependency === action.action_id) faults.add(`${path}.depends_on.${at}`, `'${dependency}' depends on itself`);
    else if (names.actions.has(dependency)) dependsOn.add(dependency);
    else {
      const suggestion = faults.suggest(dependency, names.actions);
      faults.add(`${path}.depends_on.${at}`, `there is no action '${dependency}'${suggestion}`);
    }
  }
  const infer = (dependency: string, where: string) => {
    if (dependency === action.action_id) faults.add(where, `'${dependency}' names its own output`);
    else dependsOn.add(dependency);
  };

  const type = checkType(check, action.action_type, `${path}.${draft.names.action_type}`);
  checkHeartbeat(action, path, faults);
  const suggest = (name: string) => faults.suggest(name, check.allNames);
  const repetition = checkRepetition(action, { checks: check.checks, names, variables: check.variables, suggest });
  faults.addAll(repetition.faults.map((fault) => under(path, fault)));
  for (const name of repetition.named) infer(name, path);
  const locals = localNames(action);
  const available = locals === undefined ? names : { ...names, locals };
  checkConfig({ ...check, names: available }, { type, config: action.config }, `${path}.${draft.names.config}`, infer);
  const cacheKeys = checkCache(action, type, path, { names: available, faults, suggest });
  for (const name of cacheKeys) infer(name, `${path}.cache.key`);
  const compensate = checkCompensation(check, action.compensate, `${path}.compensate`);
  const when = checkCondition(check, action, index, infer);
  return {
    ...action,
    ...(compensate === undefined ? {} : { compensate }),
    action_type: type ?? action.action_type,
    depends_on: [...dependsOn],
    ...(when === undefined ? {} : { when }),
  };
}

/** When it runs every action is final, so what it names is not waited for. */
function checkCompensation(check: Check, written: Compensation | undefined, path: string): Compensation | undefined {
  if (written === undefined) return undefined;
  const type = checkType(check, written.action_type, `${path}.action_type`);
  const names = { ...check.names, locals: COMPENSATION_NAMES };
  checkConfig({ ...check, names }, { type, config: written.config }, `${path}.config`, () => undefined);
  return { ...written, action_type: type ?? written.action_type };
}

/** The canonical type. */
function checkType({ catalogue, faults }: Check, written: string, path: string): string | undefined {
  const type = catalogue.canonical(written);
  if (type !== undefined) return type;
  const types = catalogue.names();
  const suggestion = faults.suggest(written, types);
  faults.add(path, `unknown action type '${written}'${suggestion}; known are ${[...types].sort().join(', ')}`);
  return undefined;
}

type Infer = (dependency: string, path: string) => void;

interface Typed {
  /** The canonical type; undefined: it is none of the catalogue. */
  type: string | undefined;
  config: Json;
}

function checkConfig(check: Check, { type, config }: Typed, path: string, infer: Infer): void {
  const { catalogue, faults, names } = check;
  const literal = type === undefined ? [] : catalogue.literalFields(type);
  const suggest = (name: string) => faults.suggest(name, check.allNames);
  const found = inspectTemplates(config, names, { literal, suggest });
  faults.addAll(found.faults.map((fault) => under(path, fault)));
  for (const { kind, name, source } of found.references) {
    if (kind === 'action') infer(name, path);
    // An expression could copy a secret into an output in a shape that nothing recognises.
    if (kind === 'secret' && literal.length > 0) faults.add(path, `${source}: secrets cannot be used in expressions`);
    const rejection =
      kind === 'secret' && type !== undefined ? rejectedSecret(catalogue, type, config, source) : undefined;
    if (rejection !== undefined) faults.add(path, `${source}: ${rejection}`);
  }
  if (typeof config === 'string') {
    if (!hasTemplate(config)) faults.add(path, 'must be an object, or a template that gives one');
    return;
  }
  for (const field of literal) inferFromLiterals(check, ownProperty(config, field) ?? null, `${path}.${field}`, infer);
  if (type === undefined) return;
  // A field with a template is only known when the template is resolved; the worker checks it then.
  const faultsOfLiterals = catalogue
    .check(type, config, check.checks)
    .filter((fault) => !dependsOnTemplate(config, fault.path, literal));
  faults.addAll(faultsOfLiterals.map((fault) => under(path, fault)));
}

/** Why the secret of this template may not be where it is. */
function rejectedSecret(
  catalogue: DefinitionCatalogue,
  type: string,
  config: Json,
  source: string,
): string | undefined {
  const rejection = catalogue.rejectsSecrets?.(type);
  const fields = catalogue.secretFields?.(type) ?? [];
  if (rejection === undefined || fields.length === 0 || typeof config !== 'object' || config === null) return rejection;
  const elsewhere = Object.entries(config).filter(([field]) => !fields.includes(field));
  return textsIn(Object.fromEntries(elsewhere)).some((text) => text.includes(source)) ? rejection : undefined;
}

function under(path: string, fault: FieldFault): FieldFault {
  return { path: fault.path === '' ? path : `${path}.${fault.path}`, message: fault.message };
}

/** Expressions in a config name actions as templates do. */
function inferFromLiterals(check: Check, value: Json, path: string, infer: Infer): void {
  for (const text of textsIn(value)) {
    for (const name of check.checks.expression(text).names) if (check.names.actions.has(name)) infer(name, path);
  }
}

function textsIn(value: Json): string[] {
  if (typeof value === 'string') return [value];
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(textsIn) : [];
}

/** Whether what a fault of a config is about is made of templates. */
function dependsOnTemplate(config: Json, path: string, literal: readonly string[]): boolean {
  let value = config;
  const keys = path === '' ? [] : path.split('.');
  for (const key of keys) {
    const next = ownProperty(value, key);
    // A field that is missing is missing, whatever the templates beside it become.
    if (next === undefined) return typeof value === 'string' && hasTemplate(value);
    value = next;
  }
  if (keys[0] !== undefined && literal.includes(keys[0])) return false;
  return textsIn(value).some(hasTemplate);
}

function checkCondition(check: Check, action: Action, index: number, infer: Infer): string | undefined {
  const { draft, checks, faults, names } = check;
  const path = `${draft.names.actions}.${index}`;
  const older = draft.conditions.get(index);
  const where = older === undefined ? `${path}.when` : `${path}.condition`;
  const isServiceCall = (id: string) => check.typeOf.get(id) === 'service_call';
  let cel = older ?? action.when;
  if (cel === undefined) return undefined;
  const written = cel;
  const suggestion = () => {
    const suggested = suggestCel(written, names, isServiceCall);
    const isCel = suggested !== undefined && checks.expression(suggested).fault === undefined;
    return isCel ? `; write ${suggested}` : '';
  };
  if (cel.includes('{{')) {
    if (older === undefined) {
      faults.add(where, `is CEL, which has no templates${suggestion()}`);
      return undefined;
    }
    const translated = celOfCondition(cel, names, isServiceCall);
    if (!translated.ok) {
      faults.add(where, translated.message);
      return undefined;
    }
    cel = translated.cel;
  }
  const checked = checks.expression(cel);
  if (checked.fault !== undefined) {
    faults.add(where, `${checked.fault}${suggestion()}`);
    return undefined;
  }
  for (const name of checked.names) {
    if (names.actions.has(name)) infer(name, where);
    else if (!check.variables.has(name)) faults.add(where, unknownVariable(check, name));
  }
  return cel;
}

function unknownVariable(check: Check, name: string): string {
  const { faults, names } = check;
  if (names.parameters.has(name)) return `names '${name}'; a parameter is params.${name}`;
  return `names '${name}', which is neither params, run nor an action${faults.suggest(name, check.allNames)}`;
}

function checkOutput(check: Check, output: Json): void {
  const { faults, names } = check;
  const found = inspectTemplates(output, names, { suggest: (name) => faults.suggest(name, check.allNames) });
  faults.addAll(found.faults.map((fault) => under('output', fault)));
  for (const { kind, source } of found.references) {
    if (kind === 'secret') faults.add('output', `${source}: the output of a run cannot hold secrets`);
  }
}

function checkCycles({ draft, faults }: Check, actions: readonly Action[]): void {
  const left = new Map(actions.map((action, index) => [action.action_id, { index, dependsOn: action.depends_on }]));
  for (let round = 0; round < MAX_CYCLES; round++) {
    const result = buildGraph([...left].map(([id, { dependsOn }]) => ({ id, dependsOn })));
    if (result.ok) return;
    const [first = ''] = result.cycle;
    const shown =
      result.cycle.length > SHOWN_CYCLE ? [...result.cycle.slice(0, SHOWN_CYCLE), '…', first] : result.cycle;
    faults.add(
      `${draft.names.actions}.${left.get(first)?.index ?? 0}.depends_on`,
      `these actions wait for each other: ${shown.join(' -> ')}`,
    );
    for (const id of result.cycle) left.delete(id);
  }
}
