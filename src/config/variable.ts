/** One variable of the tables. */
import type { z } from 'zod';

export interface Variable<Schema extends z.ZodType = z.ZodType> {
  schema: Schema;
  description: string;
  /** As it would be written in the environment. */
  default?: string;
  /** Names that the older services use; ours wins over them. */
  aliases?: readonly string[];
  /** true: never shown, not even in part. credentials: a URL, which is shown without them. */
  secret?: true | 'credentials';
}

type Details = Omit<Variable, 'schema' | 'description' | 'default'>;

/** It has a value in any case. */
export function setting<const Schema extends z.ZodType>(
  schema: Schema,
  initial: string,
  description: string,
  more: Details = {},
) {
  return { schema, default: initial, description, ...more };
}
export function optional<const Schema extends z.ZodType>(schema: Schema, description: string, more: Details = {}) {
  return { schema: schema.optional(), description, ...more };
}
