/** Definitions of workflows in code, with references that the compiler checks. What comes out is plain JSON. */
import type { ActionShapes } from './generated/actions.ts';
import type { Action, ForEach, Parameter, Retry, WorkflowDefinition } from './generated/types.ts';
import { type AnyReference, type ReferenceTo, referenceTo, type Templated } from './references.ts';

export type ActionType = keyof ActionShapes;
type Config<Type extends ActionType> = Templated<ActionShapes[Type]['config']>;
type Output<Type extends ActionType> = ActionShapes[Type]['output'];

type Declaration = Omit<Parameter, 'name' | 'default_value' | 'allowed_values' | 'required'> & { required?: boolean };
type Declarations = Readonly<Record<string, Declaration>>;

interface TypeNames {
  string: string;
  integer: number;
  number: number;
  float: number;
  boolean: boolean;
  object: Record<string, unknown>;
  array: unknown[];
  file: never;
}
type ValueOf<Declared extends Declaration> = TypeNames[Declared['type']];
type IsOptional<Declared extends Declaration> = Declared extends { required: true }
  ? false
  : Declared extends { default: unknown } | { required: false }
    ? true
    : false;

/** What a run of the workflow is given. */
export type ParametersOf<Declared extends Declarations> = {
  [Name in keyof Declared as IsOptional<Declared[Name]> extends true ? never : Name]: ValueOf<Declared[Name]>;
} & { [Name in keyof Declared as IsOptional<Declared[Name]> extends true ? Name : never]?: ValueOf<Declared[Name]> };

export interface ActionHandle<Value> {
  readonly id: string;
  readonly output: ReferenceTo<Value>;
  /** The same action, of whose output you know more than its type says. */
  as<Known>(): ActionHandle<Known>;
}

/** Of an action that undoes another one. */
export type CompensationOptions = {
  [Type in ActionType]: { action_type: Type; config: Config<Type>; retry?: Retry; timeout_seconds?: number };
}[ActionType];

type Common = Pick<
  Action,
  | 'name'
  | 'description'
  | 'when'
  | 'run_if'
  | 'retry'
  | 'timeout_seconds'
  | 'heartbeat_timeout_seconds'
  | 'delay_seconds'
  | 'priority'
  | 'on_failure'
  | 'idempotent'
  | 'metadata'
  | 'repeat'
>;

export interface ActionOptions<Type extends ActionType> extends Common {
  config?: Config<Type>;
  depends_on?: ReadonlyArray<string | { readonly id: string }>;
  /** The output of the action itself can be referred to. */
  compensate?: CompensationOptions | ((output: AnyReference) => CompensationOptions);
  cache?: { key: unknown; ttl_seconds: number };
}
type Each = Omit<ForEach, 'items'> & { items: unknown };

export interface ActionMaker {
  /** The fields of its output are those of `outputs`. */
  <const Outputs extends Readonly<Record<string, string>>>(
    id: string,
    type: 'transform',
    options: Omit<ActionOptions<'transform'>, 'config'> & { config: { outputs: Outputs; input?: unknown } },
  ): ActionHandle<{ [Name in keyof Outputs]: unknown }>;
  /** Once for each item. */
  <Type extends ActionType>(
    id: string,
    type: Type,
    options: ActionOptions<Type> & { for_each: Each },
  ): ActionHandle<Array<Output<Type>>>;
  <Type extends ActionType>(id: string, type: Type, options?: ActionOptions<Type>): ActionHandle<Output<Type>>;
}

export interface Builder<Declared extends Declarations> {
  readonly params: { readonly [Name in keyof Declared]: ReferenceTo<ValueOf<Declared[Name]>> };
  readonly action: ActionMaker;
  /** `run.id`, … */
  readonly run: AnyReference;
  /** Within `for_each`. */
  readonly item: AnyReference;
  readonly itemIndex: AnyReference;
  /** Within `repeat`. */
  readonly previous: AnyReference;
  readonly iteration: AnyReference;
  /** A secret of the tenant, by its name. */
  secret(name: string): AnyReference;
}

type Head<Declared extends Declarations> = Omit<WorkflowDefinition, 'parameters' | 'actions' | 'output'> & {
  parameters?: Declared;
};

/** The JSON of a definition; `types` is for the compiler alone. */
export type DefinedWorkflow<Parameters, Result> = WorkflowDefinition & {
  readonly types?: { parameters: Parameters; output: Result };
};

/** Words that a template takes for something else when they stand alone. */
const TAKEN: ReadonlySet<string> = new Set(['params', 'run', 'secrets', 'item', 'item_index', 'previous', 'iteration']);

/** `build` adds the actions and returns the output of the workflow; without one it is that of the last actions. */
export function defineWorkflow<const Declared extends Declarations = Record<never, never>, Result = unknown>(
  head: Head<Declared>,
  // biome-ignore lint/suspicious/noConfusingVoidType: a body without `return` is allowed.
  build: (builder: Builder<Declared>) => unknown | void,
): DefinedWorkflow<ParametersOf<Declared>, Result> {
  const actions: object[] = [];
  const ids = new Set<string>();

  function action(id: string, type: ActionType, options: ActionOptions<ActionType> & { for_each?: Each } = {}) {
    if (ids.has(id)) throw new TypeError(`two actions are called '${id}'`);
    ids.add(id);
    const output: AnyReference = referenceTo(id);
    const { depends_on, compensate, ...rest } = options;
    actions.push({
      action_id: id,
      action_type: type,
      ...rest,
      ...(depends_on === undefined
        ? {}
        : { depends_on: depends_on.map((one) => (typeof one === 'string' ? one : one.id)) }),
      ...(compensate === undefined
        ? {}
        : { compensate: typeof compensate === 'function' ? compensate(output) : compensate }),
    });
    const handle: ActionHandle<unknown> = { id, output, as: () => handle as ActionHandle<never> };
    return handle;
  }

  const { parameters = {} as Declared, ...fields } = head; // Nothing is declared.
  const output = build({
    params: paramsOf(Object.keys(parameters)) as Builder<Declared>['params'],
    action: action as ActionMaker,
    run: referenceTo('run'),
    item: referenceTo('item'),
    itemIndex: referenceTo('item_index'),
    previous: referenceTo('previous'),
    iteration: referenceTo('iteration'),
    secret: (name) => referenceTo(`secrets.${name}`),
  });
  const declared = Object.entries(parameters).map(([name, one]) => ({ name, ...one }));
  const definition = {
    ...fields,
    ...(declared.length === 0 ? {} : { parameters: declared }),
    actions,
    ...(output === undefined ? {} : { output }),
  };
  // References become templates here.
  return JSON.parse(JSON.stringify(definition)) as DefinedWorkflow<ParametersOf<Declared>, Result>;
}

/** One alone is written by its name, a path into one from `params` on, so that no action can be meant. */
function paramsOf(names: readonly string[]): Record<string, AnyReference> {
  const entries = names.map((name) => {
    const whole = `params.${name}`;
    return [name, referenceTo(TAKEN.has(name) ? whole : name, (child) => `${whole}.${child}`)];
  });
  return Object.fromEntries(entries) as Record<string, AnyReference>;
}
