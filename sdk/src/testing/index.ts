/** `testWorkflow`: runs a definition by the rules of the service, with mocked actions and virtual time, without a server. */

import { normaliseDefinition } from '../../../src/domain/definition/normalise.ts';
import { checkParameters } from '../../../src/domain/definition/parameters.ts';
import { makePlan } from '../../../src/domain/graph/plan.ts';
import { createDirectChecks } from '../../../src/expressions/direct-checks.ts';
import type { JsonObject } from '../../../src/schemas/json.ts';
import { ACTION_NAMES } from '../generated/action-names.ts';
import type { TestOptions, TestRun, TestWorkflow } from './shapes.ts';
import { simulate } from './simulate.ts';

const START = '2030-01-01T00:00:00.000Z';
const RUN_ID = '00000000-0000-7000-8000-000000000000';

const checks = createDirectChecks();
const canonicalOf = new Map(
  Object.entries(ACTION_NAMES).flatMap(([type, { aliases }]) =>
    [type, ...aliases].map((name) => [name, type] as const),
  ),
);
/** What the service knows of action types. The configurations of mocked actions are not checked. */
const CATALOGUE = {
  canonical: (type: string) => canonicalOf.get(type),
  names: () => Object.keys(ACTION_NAMES),
  check: () => [],
  literalFields: (type: string) => ACTION_NAMES[type]?.literal ?? [],
  checks,
};

export const testWorkflow: TestWorkflow = async (body: object, options: TestOptions = {}): Promise<TestRun> => {
  const { parameters = {}, mocks = {}, now = START } = options;
  const { definition } = normaliseDefinition(JSON.parse(JSON.stringify(body)), CATALOGUE);
  const given = JSON.parse(JSON.stringify(parameters)) as JsonObject; // An object stays one.
  const { values } = checkParameters(definition.parameters, given, false, checks);
  const startMs = new Date(now).getTime();
  const run = {
    id: RUN_ID,
    workflow_id: null,
    workflow_version: null,
    tenant_id: 'test',
    user_id: 'test',
    correlation_id: null,
    created_at: new Date(startMs).toISOString(),
  };
  return simulate({ plan: makePlan(definition), params: values, run, mocks, startMs });
};
