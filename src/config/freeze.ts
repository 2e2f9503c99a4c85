/** Values that are read-only, all the way down. */
export type Frozen<T> =
  T extends ReadonlyMap<infer Key, infer Value>
    ? ReadonlyMap<Key, Frozen<Value>>
    : T extends ReadonlyArray<infer Item>
      ? ReadonlyArray<Frozen<Item>>
      : T extends object
        ? { readonly [Key in keyof T]: Frozen<T[Key]> }
        : T;

export function freeze<T extends object>(value: T): T {
  for (const item of Object.values(value)) if (typeof item === 'object' && item !== null) freeze(item);
  return Object.freeze(value);
}
