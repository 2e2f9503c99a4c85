/** What unit tests of definitions share: a small catalogue, and the way to look at a refusal. */
import { z } from 'zod';
import type { DefinitionCatalogue } from '../../src/domain/definition/check-definition.ts';
import { normaliseDefinition } from '../../src/domain/definition/normalise.ts';
import { OrchestratorError } from '../../src/domain/errors.ts';
import { parseWith } from '../../src/schemas/faults.ts';
import { checks } from './checks.ts';

const older = new Map([
  ['external_api_call', 'http_request'],
  ['transform_data', 'transform'],
]);
const types: Record<string, { config: z.ZodType; literal?: string[] }> = {
  test_task: { config: z.record(z.string(), z.unknown()) },
  http_request: { config: z.strictObject({ url: z.string(), timeout: z.int().optional() }) },
  notification: {
    config: z.strictObject({ message: z.string(), channels: z.array(z.enum(['log', 'webhook'])).optional() }),
  },
  service_call: {
    config: z.strictObject({
      service: z.string(),
      endpoint: z.string(),
      method: z.enum(['GET', 'POST']).optional(),
      parameters: z.record(z.string(), z.unknown()).optional(),
    }),
  },
  transform: {
    config: z.strictObject({ expression: z.string(), note: z.unknown().optional() }),
    literal: ['expression'],
  },
};

export const catalogue: DefinitionCatalogue = {
  canonical: (type) => older.get(type) ?? (Object.hasOwn(types, type) ? type : undefined),
  names: () => Object.keys(types),
  check(type, config) {
    const entry = types[type];
    const parsed = entry === undefined ? undefined : parseWith(entry.config, config);
    return parsed === undefined || parsed.ok ? [] : parsed.faults;
  },
  literalFields: (type) => types[type]?.literal ?? [],
  checks,
};

export function normalise(body: unknown) {
  return normaliseDefinition(body, catalogue).definition;
}

/** The error that `act` throws; anything but an OrchestratorError fails the test. */
export function refusalOf(act: () => unknown): OrchestratorError {
  try {
    act();
  } catch (error) {
    if (error instanceof OrchestratorError) return error;
    throw error;
  }
  throw new Error('nothing was refused');
}

/** `path: message` of each fault. */
export function faultsOf(act: () => unknown): string[] {
  return refusalOf(act).errors.map(({ path, message }) => `${path}: ${message}`);
}
