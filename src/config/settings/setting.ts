/** How a setting is written, once: its variable, its schema, its description; where it stands in its group is its place in the Config. */
import type { z } from 'zod';

export interface Setting<Name extends string = string, Schema extends z.ZodType = z.ZodType, Value = unknown> {
  name: Name;
  schema: Schema;
  description: string;
  /** As it would be written in the environment. */
  default?: string;
  /** Names that the older services use; ours wins over them. */
  aliases?: readonly string[];
  /** true: never shown, not even in part. credentials: a URL, which is shown without them. */
  secret?: true | 'credentials';
  /** Makes the value in the Config, where that is another one than the value that is shown. Paths are relative to `folder`. */
  inConfig?(value: z.output<Schema>, folder: string): Value;
}

/** Settings by their places in the Config; a group in a group is an object there. */
export interface Group {
  readonly [place: string]: Setting | Group;
}

/** All settings of a group. */
export type SettingIn<G> = G extends Setting ? G : { [Place in keyof G]: SettingIn<G[Place]> }[keyof G];

/** What a group is in the Config. */
export type Placed<G> = {
  [Place in keyof G]: G[Place] extends Setting<string, z.ZodType, infer Value> ? Value : Placed<G[Place]>;
};

type Details<Schema extends z.ZodType, Value> = Omit<Setting<string, Schema, Value>, 'name' | 'schema'>;

/** It has a value in any case. */
export function setting<const Name extends string, Schema extends z.ZodType, Value = z.output<Schema>>(
  name: Name,
  schema: Schema,
  details: Details<Schema, Value> & { default: string },
): Setting<Name, Schema, Value> {
  return { name, schema, ...details };
}

export function optional<const Name extends string, Schema extends z.ZodType, Value = z.output<Schema> | undefined>(
  name: Name,
  schema: Schema,
  details: Omit<Details<z.ZodOptional<Schema>, Value>, 'default'>,
): Setting<Name, z.ZodOptional<Schema>, Value> {
  return { name, schema: schema.optional(), ...details };
}

export function settingsIn<G extends Group>(group: G): Array<SettingIn<G>> {
  const settings = Object.values(group).flatMap((item) => (isSetting(item) ? [item] : settingsIn(item)));
  return settings as Array<SettingIn<G>>; // Exactly the leaves of the group.
}

/** `values` by variable. */
export function placed<G extends Group>(
  group: G,
  values: Readonly<Record<string, unknown>>,
  folder: string,
): Placed<G> {
  const places = Object.entries(group).map(([place, item]) => {
    if (!isSetting(item)) return [place, placed(item, values, folder)];
    const value = values[item.name];
    return [place, item.inConfig === undefined ? value : item.inConfig(value, folder)];
  });
  return Object.fromEntries(places) as Placed<G>; // Each value is that of the setting in its place.
}

function isSetting(item: Setting | Group): item is Setting {
  return typeof item.description === 'string';
}
