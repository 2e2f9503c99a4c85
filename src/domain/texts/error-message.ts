import type { Json } from '../../schemas/json.ts';

/** What was thrown, in words: anything can be. */
export function errorMessage(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Of an error as it lies in a column. */
export function storedMessage(error: Json): string | undefined {
  if (typeof error === 'string') return error;
  if (typeof error !== 'object' || error === null || Array.isArray(error)) return undefined;
  const message = error['message'];
  return typeof message === 'string' ? message : undefined;
}
