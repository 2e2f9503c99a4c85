import fc from 'fast-check';
import { expect, test } from 'vitest';
import { mergeDefinition, normaliseDefinition } from '../../../../src/domain/definition/normalise.ts';
import { checkParameters } from '../../../../src/domain/definition/parameters.ts';
import { OrchestratorError } from '../../../../src/domain/errors.ts';
import { buildGraph } from '../../../../src/domain/graph/graph.ts';
import { guardJson } from '../../../../src/schemas/json-guard.ts';
import { checks } from '../../../support/checks.ts';
import { catalogue, normalise } from '../../../support/definitions.ts';

const ids = ['a', 'b-1', 'c.d', 'e', 'f'];
const id = fc.constantFrom(...ids);
const text = fc.oneof(
  fc.string({ maxLength: 8 }),
  id.map((name) => `{{${name}.x}}`),
  fc.constantFrom('{{p}}', '{{params.q}}', '{{run.id}}', '{{', '{{nope}}'),
);
const sometimes = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: null, freq: 2 });
const action = fc.record(
  {
    action_id: id,
    action_type: fc.constantFrom('test_task', 'transform_data', 'nope'),
    config: fc.oneof(
      fc.dictionary(fc.string({ maxLength: 3 }), text, { maxKeys: 3 }),
      fc.constant({ expression: 'a.x' }),
    ),
    depends_on: sometimes(fc.array(id, { maxLength: 2 })),
    when: sometimes(fc.constantFrom('a.x == 1', 'params.p', 'e && f', '1 +')),
    condition: sometimes(fc.constantFrom("{{a.x}} == 'y'", '{{p}}')),
    retry_count: sometimes(fc.integer({ min: 0, max: 5 })),
    retry_delay: sometimes(fc.integer({ min: 0, max: 5 })),
    continue_on_error: sometimes(fc.boolean()),
    priority: sometimes(fc.integer({ min: 0, max: 101 })),
  },
  { requiredKeys: ['action_id', 'action_type'] },
);
const parameter = fc.record(
  {
    name: fc.constantFrom('p', 'q'),
    type: fc.constantFrom('string', 'integer', 'float'),
    default_value: sometimes(fc.oneof(fc.string(), fc.integer())),
    required: sometimes(fc.boolean()),
    validation_rules: sometimes(
      fc.record({ min_length: fc.nat(3), pattern: fc.string({ maxLength: 3 }) }, { requiredKeys: [] }),
    ),
  },
  { requiredKeys: ['name', 'type'] },
);
const body = fc.record({
  name: fc.string({ maxLength: 5 }),
  parameters: fc.array(parameter, { maxLength: 2 }),
  actions: fc.array(action, { maxLength: 4 }),
});
/** Mostly definitions that work, so that what holds of those is really looked at. */
const workable = fc
  .uniqueArray(id, { minLength: 1, maxLength: 5 })
  .chain((order) =>
    fc.tuple(
      ...order.map((action_id, index) =>
        fc.record({
          action_id: fc.constant(action_id),
          action_type: fc.constantFrom('test_task', 'notification', 'prompt'),
          depends_on: fc.subarray(order.slice(0, index)),
          config: fc
            .subarray(order.slice(0, index))
            .map((named) => ({ message: `of ${named.map((name) => `{{${name}.x}}`).join(' ')}` })),
          retry_count: sometimes(fc.integer({ min: 0, max: 5 })),
          on_error: sometimes(fc.constantFrom('continue', 'fail')),
        }),
      ),
    ),
  )
  .map((actions) => ({
    name: 'w',
    actions: actions.map((each) => ({
      ...each,
      action_type: each.action_type === 'prompt' ? 'test_task' : each.action_type,
    })),
  }));

function attempt<T>(act: () => T): T | undefined {
  try {
    return act();
  } catch (error) {
    expect(error).toBeInstanceOf(OrchestratorError);
    return undefined;
  }
}

test('any JSON and anything like a definition is taken or refused with an OrchestratorError', () => {
  fc.assert(
    fc.property(fc.oneof(body, fc.jsonValue(), fc.record({ id: fc.string(), tasks: fc.jsonValue() })), (given) => {
      attempt(() => normaliseDefinition(given, catalogue));
      attempt(() => guardJson(given));
    }),
    { numRuns: 1_000 },
  );
});

test('a canonical definition is a fixed point, and survives an empty patch', () => {
  fc.assert(
    fc.property(fc.oneof(body, workable), (given) => {
      const definition = attempt(() => normalise(given));
      if (definition === undefined) return;
      expect(normalise(definition)).toEqual(definition);
      expect(mergeDefinition(definition, {}, catalogue)).toEqual(definition);
      expect(JSON.parse(JSON.stringify(definition))).toEqual(definition);
    }),
    { numRuns: 1_000 },
  );
});

test('what is taken has a graph, in which every action that a template names comes first', () => {
  fc.assert(
    fc.property(workable, (given) => {
      const { actions } = normalise(given);
      const graph = buildGraph(actions.map((each) => ({ id: each.action_id, dependsOn: each.depends_on })));
      expect(graph.ok).toBe(true);
      for (const each of actions) {
        for (const name of ids) {
          if (JSON.stringify(each.config).includes(`{{${name}.x}}`)) expect(each.depends_on).toContain(name);
        }
      }
    }),
  );
});

test('parameters are checked or refused, and every declared default is there', () => {
  const values = fc.dictionary(fc.constantFrom('p', 'q', 'r', '__proto__'), fc.jsonValue({ maxDepth: 1 }));
  fc.assert(
    fc.property(fc.array(parameter, { maxLength: 2 }), values, fc.boolean(), (parameters, given, strict) => {
      const definition = attempt(() =>
        normalise({ name: 'w', parameters, actions: [{ action_id: 'a', action_type: 'test_task' }] }),
      );
      if (definition === undefined) return;
      const checked = attempt(() =>
        checkParameters(definition.parameters, JSON.parse(JSON.stringify(given)), strict, checks),
      );
      if (checked === undefined) return;
      for (const each of definition.parameters) {
        if (each.default !== undefined || each.required) expect(Object.hasOwn(checked.values, each.name)).toBe(true);
      }
    }),
    { numRuns: 500 },
  );
});
