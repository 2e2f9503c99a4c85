/** The templates that are shipped, and what customizations make of one. */
import { describe, expect, test } from 'vitest';
import { shippedCatalogue } from '../../../../src/compose/features.ts';
import { normaliseDefinition } from '../../../../src/domain/definition/normalise.ts';
import { checkParameters } from '../../../../src/domain/definition/parameters.ts';
import { customise } from '../../../../src/features/templates/domain.ts';
import { createWorkflowTemplates, type TemplateStore } from '../../../../src/features/templates/manage-templates.ts';
import { readShippedTemplates } from '../../../../src/features/templates/shipped-templates.ts';
import type { JsonObject } from '../../../../src/schemas/json.ts';
import { checks } from '../../../support/checks.ts';
import { faultsOf, refusalOf } from '../../../support/definitions.ts';

const rules = { ...shippedCatalogue(), checks };
const normalise = (body: JsonObject) => normaliseDefinition(body, rules);
const shipped = new Map([...readShippedTemplates()].map(([name, body]) => [name, normalise(body).definition]));
const CALLER = { tenantId: 't', userId: 'u', correlationId: undefined, traceId: 'trace' };

describe('the shipped templates', () => {
  test('are these, each a definition that can work', () => {
    const facts = [...shipped].map(([name, { parameters, actions }]) => [
      name,
      parameters.map((one) => one.name),
      actions.map((one) => one.action_id),
    ]);
    expect(facts).toEqual([
      ['approval', ['subject'], ['ask', 'tell_approved', 'tell_rejected']],
      [
        'document_analysis',
        ['document_urls', 'analysis_types'],
        ['ingest_documents', 'analyze_documents', 'summarize_results'],
      ],
      ['hello_world', ['message'], ['notify']],
      ['llm_summarize', ['content', 'model', 'max_words'], ['summarize']],
      ['multi_source_ingestion', ['sources', 'scope'], ['ingest', 'report']],
      [
        'pr_confidence_analysis',
        ['pr_number', 'repository', 'jira_ticket'],
        ['fetch_pr', 'fetch_jira', 'analyze_confidence'],
      ],
      ['saga_order', ['order_id', 'customer_id', 'amount', 'items'], ['reserve_stock', 'charge_payment', 'ship_order']],
    ]);
  });

  test('the analysis of documents allows the four kinds of the older one, two of them by default', () => {
    const { parameters = [] } = shipped.get('document_analysis') ?? {};
    const check = (analysis_types: string[]) =>
      checkParameters(parameters, { document_urls: ['https://example.com/a'], analysis_types }, true, checks);
    expect(checkParameters(parameters, { document_urls: ['https://example.com/a'] }, true, checks).values).toEqual({
      document_urls: ['https://example.com/a'],
      analysis_types: ['quality', 'consistency'],
    });
    expect(check(['sentiment', 'topics']).values).toMatchObject({ analysis_types: ['sentiment', 'topics'] });
    expect(faultsOf(() => check(['quality', 'grammar']))).toEqual([
      'parameters.analysis_types: may only hold "quality", "consistency", "sentiment", "topics", not "grammar"',
    ]);
  });
});

/** fetch -> clean -> store, and a note after fetch. */
const base = normalise({
  name: 'Base',
  description: 'before',
  tags: ['one', 'two'],
  metadata: { owner: { team: 'a', mail: 'a@example.com' } },
  parameters: [
    { name: 'url', type: 'string', required: true },
    { name: 'size', type: 'integer', default: 5 },
  ],
  actions: [
    { action_id: 'fetch', action_type: 'http_request', config: { url: '{{url}}', headers: { a: '1', b: '2' } } },
    { action_id: 'clean', action_type: 'test_task', config: { n: '{{size}}' }, depends_on: ['fetch'] },
    { action_id: 'store', action_type: 'test_task', config: { n: 1 }, depends_on: ['clean'] },
    { action_id: 'note', action_type: 'notification', config: { message: 'done' }, depends_on: ['fetch'] },
  ],
}).definition;

/** As `make` does it. */
function made(customizations: JsonObject) {
  return normalise(customise(base, customizations).body).definition;
}
async function refused(customizations: JsonObject) {
  const templates = createWorkflowTemplates({
    shipped: new Map([['base', base]]),
    templates: {} as TemplateStore, // Not called: the template is a shipped one.
    actionTypes: { permissionOf: () => undefined },
    workflows: {
      create: async (_caller, body) => {
        normalise(body);
        throw new Error('made');
      },
    },
  });
  const error = await templates.make(CALLER, 'base', customizations).catch((caught: unknown) => caught);
  return refusalOf(() => {
    throw error;
  });
}

describe('customizations', () => {
  test('none leave the template as it is', () => {
    expect(made({})).toEqual(base);
  });

  test('objects go into each other, null takes away, everything else replaces', () => {
    expect(
      made({
        name: 'Mine',
        description: null,
        tags: ['three'],
        metadata: { owner: { mail: null, phone: '1' }, cost: 3 },
        timeout_seconds: 60,
      }),
    ).toEqual({
      ...base,
      name: 'Mine',
      description: undefined,
      tags: ['three'],
      metadata: { owner: { team: 'a', phone: '1' }, cost: 3 },
      timeout_seconds: 60,
    });
  });

  test.each([
    ['by their keys', { size: { default: 7 }, url: { description: 'from where' }, depth: { type: 'integer' } }],
    [
      'in a list',
      [
        { name: 'size', default: 7 },
        { name: 'url', description: 'from where' },
        { name: 'depth', type: 'integer' },
      ],
    ],
  ])('parameters are changed and added %s', (_, parameters) => {
    expect(made({ parameters }).parameters).toEqual([
      { name: 'url', type: 'string', required: true, description: 'from where' },
      { name: 'size', type: 'integer', required: false, default: 7 },
      { name: 'depth', type: 'integer', required: true },
    ]);
  });

  test('a parameter is taken away, and one that gets a default is not required any more', () => {
    const parameters = { url: { default: 'https://example.com' }, size: null };
    const { parameters: left } = made({ parameters, actions: { clean: { config: { n: 2 } } } });
    expect(left).toEqual([{ name: 'url', type: 'string', required: false, default: 'https://example.com' }]);
  });

  test('actions are changed deeply and added at the end', () => {
    const { actions } = made({
      actions: {
        fetch: { config: { headers: { b: null, c: '3' } }, retry: { max_attempts: 9 }, when: 'params.size > 1' },
        check: { action_type: 'test_task', config: { got: '{{store.n}}' } },
      },
    });
    expect(actions.map((action) => action.action_id)).toEqual(['fetch', 'clean', 'store', 'note', 'check']);
    expect(actions[0]).toEqual({
      ...base.actions[0],
      config: { url: '{{url}}', headers: { a: '1', c: '3' } },
      retry: { ...base.actions[0]?.retry, max_attempts: 9 },
      when: 'params.size > 1',
    });
    expect(actions[4]).toMatchObject({ action_id: 'check', depends_on: ['store'] });
  });

  test('an action that is taken away hands its dependencies to those that depended on it', () => {
    const { actions } = made({ actions: { clean: null } });
    expect(actions.map(({ action_id, depends_on }) => [action_id, depends_on])).toEqual([
      ['fetch', []],
      ['store', ['fetch']],
      ['note', ['fetch']],
    ]);
  });

  test('the older spellings stand for the newer ones of the template', () => {
    const { actions, parameters } = made({
      parameters: { size: { default_value: 9, allowed_values: [8, 9] } },
      actions: { fetch: { retry_count: 0, retry_delay: 3, continue_on_error: true, condition: '{{size}} > 8' } },
    });
    expect(parameters[1]).toEqual({ name: 'size', type: 'integer', required: false, default: 9, enum: [8, 9] });
    expect(actions[0]).toMatchObject({
      retry: { max_attempts: 1, initial_delay_seconds: 3, backoff: 'fixed' },
      on_failure: 'continue',
      when: 'params.size > 8',
    });
  });

  test('an action without an id is the one of its name', () => {
    const { actions } = made({ actions: [{ name: 'Check It', action_type: 'test_task' }] });
    expect(actions.at(-1)).toMatchObject({ action_id: 'check_it', name: 'Check It' });
  });

  test('what cannot be read is reported at its field, all at once', () => {
    const act = () =>
      customise(base, {
        parameters: 'none',
        actions: [{ action_id: 'fetch' }, 'clean', { action_type: 'test_task' }, { action_id: 'fetch' }],
      });
    expect(refusalOf(act).code).toBe('invalid_request');
    expect(faultsOf(act)).toEqual([
      'customizations.parameters: must be an object by name, or a list of objects with name',
      'customizations.actions.1: must be an object',
      'customizations.actions.2.action_id: is required',
      "customizations.actions.3: 'fetch' is already changed by actions.0",
    ]);
    expect(faultsOf(() => customise(base, { actions: { gone: null, fetch: { action_id: 'get' } } }))).toEqual([
      "customizations.actions.fetch.action_id: differs from its key 'fetch': take the one away and add the other",
      "customizations.actions.gone: the template has no 'gone' to take away",
    ]);
  });

  test('a definition that cannot work is rejected, each fault at its field of the customizations', async () => {
    const listed = await refused({
      colour: 'red',
      parameters: [{ name: 'size', type: 'number of pages' }],
      actions: [{ action_id: 'store', retries: 3 }],
    });
    expect({ code: listed.code, paths: listed.errors.map(({ path }) => path).sort() }).toEqual({
      code: 'invalid_request',
      paths: ['customizations.actions.0.retries', 'customizations.colour', 'customizations.parameters.0.type'],
    });
    const keyed = await refused({
      parameters: { size: null },
      actions: { store: { action_type: 'tset_task' }, extra: { action_type: 'test_task', depends_on: ['stor'] } },
    });
    expect(keyed.code).toBe('definition_invalid');
    // `clean` was not touched: it is named where it would have to be.
    expect(keyed.errors.map(({ path }) => path).sort()).toEqual([
      'customizations.actions.clean.config.n',
      'customizations.actions.extra.depends_on.0',
      'customizations.actions.store.action_type',
    ]);
    expect(keyed.message).toContain('customizations.actions.store.action_type');
  });

  test('the template itself is never changed', () => {
    const before = structuredClone(base);
    made({ actions: { fetch: { config: { headers: null }, retry_count: 3 }, note: null }, metadata: { owner: null } });
    expect(base).toEqual(before);
  });
});
