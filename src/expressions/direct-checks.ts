/** Checks texts in the calling thread: in a thread that may be killed, and for texts that are our own. */
import type { Checks } from '../domain/texts/checks.ts';
import { matchesPattern, patternFault } from '../domain/texts/patterns.ts';
import { readCel } from './check-cel.ts';
import { createPayloadSchemas, schemaFaults } from './json-schema.ts';

export function createDirectChecks(): Checks {
  const { check } = createPayloadSchemas();
  return { expression: readCel, patternFault, matches: matchesPattern, schemaFaults, valueFaults: check };
}
