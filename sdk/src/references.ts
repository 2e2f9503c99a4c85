/** References to values that only a run has, written as properties: `order.output.amount` becomes `{{order.amount}}`. */

declare const VALUE: unique symbol;

/** Stands for a value of this type where a definition has a template. */
export interface Reference<Value> {
  readonly [VALUE]: Value;
}

// biome-ignore lint/suspicious/noExplicitAny: what an action type says nothing of can be anything.
export type AnyReference = any;

/** As deep as the type is known; below that anything can be named. */
export type ReferenceTo<Value> = unknown extends Value
  ? AnyReference
  : Value extends readonly (infer Item)[]
    ? Reference<Value> & { readonly [index: number]: ReferenceTo<Item> }
    : Value extends object
      ? string extends keyof Value
        ? AnyReference
        : Reference<Value> & {
            readonly [Name in keyof Value]-?: ReferenceTo<
              unknown extends Value[Name] ? unknown : NonNullable<Value[Name]>
            >;
          }
      : Reference<Value>;

/** A value, or what stands for one, at every depth. A text may hold templates wherever a text is allowed. */
export type Templated<Value> = unknown extends Value
  ? unknown
  :
      | Reference<Value>
      | (Value extends readonly (infer Item)[]
          ? ReadonlyArray<Templated<Item>>
          : Value extends object
            ? { [Name in keyof Value]: Templated<Value[Name]> }
            : Value);

const NAME = /^[\p{L}\p{N}_$@:/-]+$/u;
const pathOf = new WeakMap<object, string>();

/** `root` is what comes first; `child` writes the first step below it otherwise. */
export function referenceTo(root: string, child: (name: string) => string = (name) => below(root, name)): AnyReference {
  const text = () => `{{${root}}}`;
  const reference: object = new Proxy(
    {},
    {
      get(_, name) {
        if (name === Symbol.toPrimitive || name === 'toJSON' || name === 'toString') return text;
        // Else `await` would take it for a promise.
        if (typeof name === 'symbol' || name === 'then') return undefined;
        return referenceTo(child(name));
      },
    },
  );
  pathOf.set(reference, root);
  return reference;
}

function below(path: string, name: string): string {
  return NAME.test(name) ? `${path}.${name}` : `${path}[${JSON.stringify(name)}]`;
}

/** A CEL expression; a reference in it is its path, anything else is written as a literal. */
export function cel(texts: TemplateStringsArray, ...values: readonly unknown[]): string {
  return texts.reduce((expression, text, index) => {
    const value = values[index - 1];
    const path = typeof value === 'object' && value !== null ? pathOf.get(value) : undefined;
    return `${expression}${path === undefined ? JSON.stringify(value) : pathInCel(path)}${text}`;
  });
}

/** CEL takes a number after a dot for something else. */
function pathInCel(path: string): string {
  return path.replaceAll(/\.(\d+)(?=\.|\[|$)/g, '[$1]');
}
