/** Definitions as clients of the older services send them, word for word. */
import { expect, test } from 'vitest';
import { shippedCatalogue } from '../../../src/compose/features.ts';
import { DEFAULT_RETRY } from '../../../src/domain/definition/definition.ts';
import { mergeDefinition, normaliseDefinition } from '../../../src/domain/definition/normalise.ts';
import { checks } from '../../support/checks.ts';
import { catalogue, faultsOf, normalise } from '../../support/definitions.ts';

const E1 =
  '{"name":"Document Analysis Workflow","description":"Analyze documents for quality and insights","parameters":[{"name":"document_url","type":"string","description":"URL of document to analyze","required":true}],"actions":[{"action_id":"analyze","action_type":"service_call","name":"Analyze Document","config":{"service":"analysis_service","endpoint":"/analyze","method":"POST","parameters":{"url":"{{document_url}}"}}}]}';
const E2 = '{"description":"Updated description","tags":["updated","v2"]}';
const E5 =
  '{"name":"Hello World Workflow","description":"A simple notification workflow","parameters":[{"name":"message","type":"string","description":"Message to display","required":true}],"actions":[{"action_id":"notify","action_type":"notification","name":"Send Notification","description":"Send completion notification","config":{"message":"{{message}}","channels":["log"]}}]}';
const E6 =
  '{"name":"Hello World","description":"My first workflow","parameters":[{"name":"message","type":"string","required":true}],"actions":[{"action_id":"greet","action_type":"notification","name":"Send Greeting","config":{"message":"{{message}}"}}]}';
const E8 =
  '{"name":"Document Quality Analysis","description":"Analyze document for quality and insights","parameters":[{"name":"document_url","type":"string","description":"Document URL to analyze","required":true}],"actions":[{"action_id":"fetch_doc","action_type":"service_call","name":"Fetch Document","config":{"service":"source_agent","endpoint":"/fetch","method":"POST","parameters":{"url":"{{document_url}}"}}},{"action_id":"analyze_quality","action_type":"service_call","name":"Analyze Quality","config":{"service":"analysis_service","endpoint":"/analyze","method":"POST","parameters":{"content":"{{fetch_doc.response.content}}"}},"depends_on":["fetch_doc"]}]}';
const E9 =
  '{"name":"PR Confidence Analysis","description":"Analyze PR confidence against requirements","parameters":[{"name":"pr_number","type":"integer","required":true},{"name":"repository","type":"string","required":true}],"actions":[{"action_id":"fetch_pr","action_type":"service_call","name":"Fetch PR Data","config":{"service":"source_agent","endpoint":"/github/pr","method":"GET","parameters":{"pr_number":"{{pr_number}}","repository":"{{repository}}"}}},{"action_id":"analyze_confidence","action_type":"service_call","name":"Analyze Confidence","config":{"service":"analysis_service","endpoint":"/calculate_confidence","method":"POST","parameters":{"pr_data":"{{fetch_pr.response}}"}},"depends_on":["fetch_pr"]}]}';

test.each([
  ['E1', E1, [[]]],
  ['E5', E5, [[]]],
  ['E6', E6, [[]]],
  ['E8', E8, [[], ['fetch_doc']]],
  ['E9', E9, [[], ['fetch_pr']]],
])('example %s is taken as sent and gets the defaults', (_, text, dependencies) => {
  // The catalogue that ships: what these clients send must go on fitting its adapters.
  const shipped = { ...shippedCatalogue(), checks };
  const { definition } = normaliseDefinition(JSON.parse(text), shipped);

  expect(definition.actions.map((action) => action.depends_on)).toEqual(dependencies);
  expect(definition.parameters.every((parameter) => parameter.required)).toBe(true);
  for (const action of definition.actions) {
    expect(action).toMatchObject({
      run_if: 'all_succeeded',
      retry: DEFAULT_RETRY,
      timeout_seconds: 300,
      on_failure: 'fail',
    });
  }
});

test('the configs of the examples are stored as they were sent', () => {
  const sent = JSON.parse(E9);
  expect(normalise(sent).actions.map((action) => action.config)).toEqual(
    sent.actions.map((action: { config: unknown }) => action.config),
  );
});

test('example E2 changes the description and the tags of E1 and nothing else', () => {
  const current = normalise(JSON.parse(E1));
  const merged = mergeDefinition(current, JSON.parse(E2), catalogue);
  expect(merged).toEqual({ ...current, description: 'Updated description', tags: ['updated', 'v2'] });
});

test('a definition in the older spellings becomes the same as one in the new ones', () => {
  const older = normalise({
    name: 'older',
    parameters: [
      { name: 'limit', type: 'float', default_value: 1.5, allowed_values: [1.5, 2] },
      {
        name: 'code',
        type: 'string',
        required: true,
        validation_rules: { min_length: 2, max_length: 4, pattern: '^[a-z]+$' },
      },
    ],
    actions: [
      {
        action_type: 'http_request',
        name: 'Fetch PR Data',
        config: { url: 'http://a' },
        retry_count: 2,
        retry_delay: 5,
      },
      {
        action_type: 'test_task',
        name: 'storeResult',
        config: {},
        condition: "{{fetch_pr_data.status}} == 200 && {{code}} != 'x'",
        continue_on_error: true,
        depends_on: [],
      },
    ],
  });
  const newer = normalise({
    name: 'older',
    parameters: [
      { name: 'limit', type: 'number', required: false, default: 1.5, enum: [1.5, 2] },
      { name: 'code', type: 'string', min_length: 2, max_length: 4, pattern: '^[a-z]+$' },
    ],
    actions: [
      {
        action_id: 'fetch_pr_data',
        action_type: 'http_request',
        name: 'Fetch PR Data',
        config: { url: 'http://a' },
        retry: { max_attempts: 3, backoff: 'fixed', initial_delay_seconds: 5 },
      },
      {
        action_id: 'store_result',
        action_type: 'test_task',
        name: 'storeResult',
        when: "fetch_pr_data.status == 200 && params.code != 'x'",
        on_failure: 'continue',
        depends_on: ['fetch_pr_data'],
      },
    ],
  });
  expect(older).toEqual(newer);
});

test('older names of action types are taken', () => {
  const types = normalise({
    name: 'types',
    actions: [
      { action_id: 'a', action_type: 'external_api_call', config: { url: 'http://a' } },
      { action_id: 'b', action_type: 'transform_data', config: { expression: '1 + 1' } },
    ],
  }).actions.map((action) => action.action_type);
  expect(types).toEqual(['http_request', 'transform']);
});

test('nulls stand for fields that were left out', () => {
  const nulls = normalise({
    name: 'nulls',
    description: null,
    tags: null,
    parameters: [
      { name: 'x', type: 'string', description: null, default_value: null, allowed_values: null, required: true },
    ],
    actions: [
      {
        action_id: 'a',
        action_type: 'test_task',
        condition: null,
        retry: null,
        for_each: null,
        depends_on: null,
      },
    ],
    output: null,
    timeout_seconds: null,
  });
  expect(nulls).toEqual(
    normalise({
      name: 'nulls',
      parameters: [{ name: 'x', type: 'string' }],
      actions: [{ action_id: 'a', action_type: 'test_task' }],
    }),
  );
});

test('two spellings of one field that disagree are rejected', () => {
  const faults = faultsOf(() =>
    normalise({
      name: 'two',
      parameters: [{ name: 'x', type: 'integer', default: 1, default_value: 2 }],
      actions: [
        {
          action_id: 'a',
          action_type: 'test_task',
          retry: { max_attempts: 3 },
          retry_count: 3,
          on_failure: 'fail',
          continue_on_error: true,
        },
      ],
    }),
  );
  expect(faults).toHaveLength(3);
  expect(faults.join('\n')).toMatch(
    /parameters\.0\.default_value.*\n.*retry_count.*\n.*actions\.0: on_failure and continue_on_error/,
  );
});

test('the flow form becomes actions, with one attempt more than its retries', () => {
  const { definition, tenantId } = normaliseDefinition(
    {
      id: 'flow-1',
      version: '1.0.0',
      type: 'DAG',
      tenant_id: 'acme',
      metadata: { owner: 'me' },
      tasks: [
        { id: 'first', handler: 'test_task', inputs: { a: 1 }, retries: 1, timeout: 5, metadata: { x: 1 } },
        {
          id: 'second',
          handler: 'test_task',
          inputs: { b: '{{params.b}}', c: '{{first.a}}' },
          condition: '{{first.a}} == 1',
        },
        { id: 'third', handler: 'test_task', depends_on: ['second'] },
      ],
    },
    catalogue,
  );
  expect(tenantId).toBe('acme');
  expect(definition).toMatchObject({ name: 'flow-1', version: '1.0.0', metadata: { owner: 'me' } });
  expect(definition.actions).toMatchObject([
    { action_id: 'first', config: { a: 1 }, retry: { max_attempts: 2 }, timeout_seconds: 5, metadata: { x: 1 } },
    {
      action_id: 'second',
      when: 'first.a == 1',
      depends_on: ['first'],
      retry: { max_attempts: 4 },
      timeout_seconds: 300,
    },
    { action_id: 'third', config: {}, depends_on: ['second'] },
  ]);
});

test('faults of a flow name the fields of the flow', () => {
  const faults = faultsOf(() =>
    normalise({ id: 'f', tasks: [{ id: 'a', handler: 'nope', inputs: { x: '{{b.y}}' } }] }),
  );
  expect(faults[0]).toMatch(/^tasks\.0\.handler: unknown action type 'nope'/);
  expect(faults[1]).toMatch(/^tasks\.0\.inputs\.x: \{\{b\.y\}\}: no parameter and no action is called 'b'/);
});

test.each([
  ["'{{a.status}}' == 'ok'", /stands in quotes.*a\.status without them/],
  ['{{a.status == 1', /has no closing|is not a path/],
  ['{{secrets.KEY}} == 1', /cannot look at secrets/],
  ['a.status == 1 and a.x == 2', /write a\.status == 1 && a\.x == 2/],
])('the older condition %s is refused with a reason', (condition, reason) => {
  const actions = [
    { action_id: 'a', action_type: 'test_task' },
    { action_id: 'b', action_type: 'test_task', condition },
  ];
  const faults = faultsOf(() => normalise({ name: 'c', actions }));
  expect(faults).toEqual([expect.stringMatching(reason)]);
});

test("an older condition on a service's answer looks into the response", () => {
  const actions = [
    { action_id: 'fetch', action_type: 'service_call', config: { service: 's', endpoint: '/' } },
    {
      action_id: 'b',
      action_type: 'test_task',
      condition: '{{fetch.score}} > 5 && {{fetch.status}} == 200 && {{fetch.list[0]["a b"]}} == 1',
    },
  ];
  expect(normalise({ name: 'c', actions }).actions[1]?.when).toBe(
    'fetch.response.score > 5 && fetch.status == 200 && fetch.response.list[0]["a b"] == 1',
  );
});
