import { expect, test } from 'vitest';
import { inlineDefinition, mergeDefinition } from '../../../../src/domain/definition/normalise.ts';
import { catalogue, faultsOf, normalise, refusalOf } from '../../../support/definitions.ts';

const task = (action_id: string, more: object = {}) => ({ action_id, action_type: 'test_task', ...more });
const workflow = (actions: object[], more: object = {}) => ({ name: 'w', actions, ...more });

test('every fault of the schema is reported at once, with its path and the nearest known field', () => {
  const refusal = refusalOf(() =>
    normalise({
      nmae: 'x',
      parameters: [{ name: 'p', type: 'strin' }],
      actions: [
        { action_id: 'a', action_type: 'test_task', depend_on: ['b'], timeout_seconds: '5' },
        { action_id: 'not ok', action_type: 'test_task', retry: { max_attempt: 0 } },
      ],
    }),
  );
  expect(refusal.code).toBe('invalid_request');
  expect(refusal.errors.map(({ path, message }) => `${path}: ${message}`).sort()).toEqual([
    "actions.0.depend_on: unknown field 'depend_on' (did you mean 'depends_on'?)",
    'actions.0.timeout_seconds: must be a number, not a string',
    expect.stringMatching(/^actions\.1\.action_id: must be made of letters, digits/),
    "actions.1.retry.max_attempt: unknown field 'max_attempt' (did you mean 'max_attempts'?)",
    'name: is required',
    "nmae: unknown field 'nmae' (did you mean 'name'?)",
    expect.stringMatching(/^parameters\.0\.type: must be one of string, integer/),
  ]);
  expect(refusal.message).toContain('name: is required');
});

test.each([[undefined], [null], [3], ['text'], [[]], [{}]])('the body %j is rejected as not valid', (body) => {
  expect(refusalOf(() => normalise(body)).code).toBe('invalid_request');
});

test('dangerous JSON is rejected together with the other faults', () => {
  const body = JSON.parse(
    '{"name":"x\\u0000","actions":[{"action_id":"a","action_type":"test_task","config":{"__proto__":{"a":1}}}],"x":1}',
  );
  const refusal = refusalOf(() => normalise(body));
  expect(refusal.code).toBe('invalid_request');
  expect(refusal.errors.map((fault) => fault.path).sort()).toEqual(['actions.0.config', 'name', 'x']);
});

test('every fault of a definition that cannot work is reported at once', () => {
  const refusal = refusalOf(() =>
    normalise(
      workflow(
        [
          task('fetch', { depends_on: ['fetch', 'stroe'] }),
          task('fetch'),
          task('store', { action_type: 'test_tsak' }),
          task('read', { config: { x: '{{fetsh.body}}', y: '{{run.idd}}', z: '{{secrets}}', q: '{{' } }),
          { action_id: 'say', action_type: 'notification', config: { channels: ['pager'] } },
          task('run'),
          task('check', { when: 'fetchh.ok && ok' }),
        ],
        {
          parameters: [
            { name: 'ok', type: 'integer', default: 'x' },
            { name: 'ok', type: 'string', pattern: '(?=a)' },
          ],
          output: { all: '{{check}}', secret: '{{secrets.KEY}}' },
        },
      ),
    ),
  );
  expect(refusal.code).toBe('definition_invalid');
  expect(refusal.errors.map(({ path, message }) => `${path}: ${message}`)).toEqual([
    'parameters.0.default: must be an integer, not "x"',
    "parameters.1.name: 'ok' is already the name of parameters.0",
    expect.stringMatching(/^parameters\.1\.pattern: is not a pattern of RE2/),
    "actions.1.action_id: 'fetch' is already the id of actions.0",
    "actions.5.action_id: 'run' has a meaning of its own in templates; choose another id",
    "actions.0.depends_on.0: 'fetch' depends on itself",
    "actions.0.depends_on.1: there is no action 'stroe' (did you mean 'store'?)",
    expect.stringMatching(
      /^actions\.2\.action_type: unknown action type 'test_tsak' \(did you mean 'test_task'\?\); known are http_request, /,
    ),
    expect.stringMatching(
      /^actions\.3\.config\.x: \{\{fetsh\.body\}\}: no parameter and no action is called 'fetsh' \(did you mean 'fetch'\?\)/,
    ),
    expect.stringMatching(/^actions\.3\.config\.y: \{\{run\.idd\}\}: a run has no 'idd' \(did you mean 'id'\?\)/),
    'actions.3.config.z: {{secrets}}: a secret is named as {{secrets.NAME}}',
    expect.stringMatching(/^actions\.3\.config\.q: \{\{: has no closing/),
    'actions.4.config.message: is required',
    'actions.4.config.channels.0: must be one of log, webhook',
    "actions.6.when: names 'ok'; a parameter is params.ok",
    "actions.6.when: names 'fetchh', which is neither params, run nor an action (did you mean 'fetch'?)",
    'output: {{secrets.KEY}}: the output of a run cannot hold secrets',
  ]);
});

test('a cycle is rejected by naming it, also when a template or an expression closes it', () => {
  const cycleOf = (actions: object[]) => faultsOf(() => normalise(workflow(actions)));
  expect(
    cycleOf([task('a', { depends_on: ['b'] }), task('b', { depends_on: ['a'] }), task('c', { depends_on: ['a'] })]),
  ).toEqual(['actions.0.depends_on: these actions wait for each other: a -> b -> a']);
  expect(
    cycleOf([task('a', { config: { x: '{{c.y}}' } }), task('b', { depends_on: ['a'] }), task('c', { when: 'b.ok' })]),
  ).toEqual(['actions.0.depends_on: these actions wait for each other: a -> c -> b -> a']);
  expect(
    cycleOf([
      task('a', { depends_on: ['b'] }),
      task('b', { depends_on: ['a'] }),
      task('c', { depends_on: ['d'] }),
      task('d', { depends_on: ['c'] }),
    ]),
  ).toHaveLength(2);
  expect(cycleOf([task('a', { config: { x: '{{a.y}}' } })])).toEqual(["actions.0.config: 'a' names its own output"]);
});

test('dependencies that only a template, a condition or an expression names are added', () => {
  const definition = normalise(
    workflow(
      [
        task('a'),
        task('b'),
        task('c'),
        task('d', { depends_on: ['a', 'a'], config: { deep: [{ x: 'text {{b.x}} {{run.id}}' }] }, when: 'c.ok' }),
        { action_id: 'e', action_type: 'transform', config: { expression: 'a.x + d.y', note: '{{b}}' } },
        { action_id: 'f', action_type: 'transform', config: { expression: "'{{a}}'" } },
      ],
      { output: '{{e}}' },
    ),
  );
  expect(definition.actions.map((action) => action.depends_on.toSorted())).toEqual([
    [],
    [],
    [],
    ['a', 'b', 'c'],
    ['a', 'b', 'd'],
    [],
  ]);
});

test.each([
  ['on_failure: continue', task('a'), { on_failure: 'continue' }, 'on_failure'],
  ['the parameter type file', task('a'), { parameters: [{ name: 'f', type: 'file' }] }, 'parameters.0.type'],
])('%s is rejected and never silently ignored', (what, action, more, path) => {
  const refusal = refusalOf(() => normalise(workflow([action], more)));
  expect(refusal.code).toBe('definition_invalid');
  expect(refusal.errors).toEqual([{ path, message: expect.stringContaining(`${what} is not supported yet`) }]);
});

test.each([
  [
    'an unknown name in the items',
    { for_each: { items: '{{nothing}}' } },
    'actions.1.for_each.items',
    /no parameter and no action is called 'nothing'/,
  ],
  [
    'text around the items',
    { for_each: { items: 'all of {{a}}' } },
    'actions.1.for_each.items',
    /a list is one template, or CEL/,
  ],
  ['items that are no CEL', { for_each: { items: 'a..b' } }, 'actions.1.for_each.items', /./],
  [
    'an expression about nothing',
    { for_each: { items: 'nothing.list' } },
    'actions.1.for_each.items',
    /neither params, run nor an action/,
  ],
  [
    'a million items',
    { for_each: { items: Array(1_000_000).fill(0) } },
    'actions.1.for_each.items',
    /has 1000000 items; one run takes at most 10000/,
  ],
  [
    'secrets as items',
    { for_each: { items: ['{{secrets.KEY}}'] } },
    'actions.1.for_each.items',
    /the items are stored, and secrets are not/,
  ],
  [
    'a loop in a fan-out',
    { for_each: { items: [1] }, repeat: { until: 'true', max_iterations: 2 } },
    'actions.1.repeat',
    /either for_each or repeat/,
  ],
  [
    'a condition with templates',
    { repeat: { until: '{{output}}', max_iterations: 2 } },
    'actions.1.repeat.until',
    /CEL, which has no templates/,
  ],
  [
    'a condition about nothing',
    { repeat: { until: 'nothing > 1', max_iterations: 2 } },
    'actions.1.repeat.until',
    /neither params, run nor an action/,
  ],
])('%s is rejected, naming the action', (_, more, path, message) => {
  const refusal = refusalOf(() => normalise(workflow([task('a'), task('b', more)])));
  expect(refusal.code).toBe('definition_invalid');
  expect(refusal.errors).toContainEqual({ path, message: expect.stringMatching(message) });
});

test.each([
  [
    'an unknown type',
    { compensate: { action_type: 'tset_task' } },
    'actions.1.compensate.action_type',
    /did you mean 'test_task'/,
  ],
  [
    'an unknown name',
    { compensate: { action_type: 'test_task', config: { x: '{{nothing.y}}' } } },
    'actions.1.compensate.config.x',
    /no parameter and no action/,
  ],
  [
    'a text',
    { compensate: { action_type: 'test_task', config: 'x' } },
    'actions.1.compensate.config',
    /must be an object/,
  ],
  [
    'nothing to undo',
    { on_failure: 'compensate' },
    'actions.1.on_failure',
    /needs an action that says how it is undone/,
  ],
])('%s in a compensation is rejected, naming the action', (_, more, path, message) => {
  const refusal = refusalOf(() => normalise(workflow([task('a'), task('b', more)])));
  expect(refusal.code).toBe('definition_invalid');
  expect(refusal.errors).toContainEqual({ path, message: expect.stringMatching(message) });
});

test('a compensation may name its own action and any other, and nothing waits for them', () => {
  const undo = { action_type: 'test_task', config: { own: '{{a.id}}', other: '{{b.id}}' }, retry: { max_attempts: 9 } };
  const { actions } = normalise(workflow([task('a', { compensate: undo, on_failure: 'compensate' }), task('b')]));
  expect(actions[0]).toMatchObject({ depends_on: [], on_failure: 'compensate' });
  expect(actions[0]?.compensate).toMatchObject({ action_type: 'test_task', config: undo.config, timeout_seconds: 300 });
  expect(actions[0]?.compensate?.retry).toMatchObject({ max_attempts: 9, backoff: 'exponential' });
});

test('what a fan-out or loop names is waited for, and only they know their items', () => {
  const { actions } = normalise(
    workflow([
      task('a'),
      task('b', { for_each: { items: '{{a.list}}' }, config: { x: '{{item.x}}', n: '{{item_index}}' } }),
      task('c', {
        repeat: { until: 'output.x == a.x', max_iterations: 3 },
        config: { n: '{{iteration}}', p: '{{previous.x}}' },
      }),
      task('d', { for_each: { items: 'b.filter(one, one > 1)', max_parallel: 3 } }),
    ]),
  );
  expect(actions.map(({ depends_on }) => depends_on)).toEqual([[], ['a'], ['a'], ['b']]);
  expect(actions[3]?.for_each).toEqual({ items: 'b.filter(one, one > 1)', max_parallel: 3, on_item_failure: 'fail' });
  for (const [config, name] of [
    [{ x: '{{item}}' }, 'item'],
    [{ x: '{{iteration}}' }, 'iteration'],
  ] as const) {
    const { errors } = refusalOf(() => normalise(workflow([task('a', { config })])));
    expect(errors).toMatchObject([{ message: expect.stringContaining(`is called '${name}'`) }]);
  }
});

test('the time of a whole run is stored, and must be more than none', () => {
  expect(normalise(workflow([task('a')], { timeout_seconds: 5 }))).toMatchObject({ timeout_seconds: 5 });
  expect(Object.hasOwn(normalise(workflow([task('a')], { timeout_seconds: null })), 'timeout_seconds')).toBe(false);
  expect(refusalOf(() => normalise(workflow([task('a')], { timeout_seconds: 0 })))).toMatchObject({
    code: 'invalid_request',
    errors: [{ path: 'timeout_seconds' }],
  });
});

test('an adapter has to report before its attempt would be over anyway', () => {
  const reporting = (more: object) => workflow([task('a', { heartbeat_timeout_seconds: 10, ...more })]);
  expect(normalise(reporting({})).actions[0]).toMatchObject({ heartbeat_timeout_seconds: 10 });
  expect(faultsOf(() => normalise(reporting({ timeout_seconds: 10 })))).toEqual([
    'actions.0.heartbeat_timeout_seconds: must be less than timeout_seconds (10)',
  ]);
});

test('a config is only checked where no template stands', () => {
  const config = (value: unknown) => workflow([{ action_id: 'a', action_type: 'http_request', config: value }]);
  expect(faultsOf(() => normalise(config({ url: '{{params.u}}', timeout: 'x' })))).toEqual([
    'actions.0.config.timeout: must be a number, not a string',
  ]);
  expect(normalise(config({ url: '{{params.u}}', timeout: '{{params.t}}' })).actions).toHaveLength(1);
  expect(normalise(config('{{params}}')).actions[0]?.config).toBe('{{params}}');
  expect(faultsOf(() => normalise(config({ timeout: '{{params.t}}' })))).toEqual(['actions.0.config.url: is required']);
  expect(faultsOf(() => normalise(config('text')))).toEqual([
    'actions.0.config: must be an object, or a template that gives one',
  ]);
});

test('secrets are rejected beside expressions, which could disguise them', () => {
  const actions = [{ action_id: 'a', action_type: 'transform', config: { expression: '1', note: '{{secrets.KEY}}' } }];
  expect(faultsOf(() => normalise(workflow(actions)))).toEqual([
    'actions.0.config: {{secrets.KEY}}: secrets cannot be used in expressions',
  ]);
});

test('a condition must be CEL, and the CEL spelling of a template is suggested', () => {
  const when = (text: string) => faultsOf(() => normalise(workflow([task('a'), task('b', { when: text })])));
  expect(when('a.x ==')).toEqual([expect.stringMatching(/^actions\.1\.when: not a CEL expression/)]);
  expect(when("{{a.x}} == 'y'")).toEqual(["actions.1.when: is CEL, which has no templates; write a.x == 'y'"]);
});

test('a patch replaces what it names, null takes away, and the whole is checked again', () => {
  const current = normalise(
    workflow([task('a'), task('b', { config: { x: '{{a.y}}' } })], { description: 'old', tags: ['x'] }),
  );
  expect(mergeDefinition(current, { description: null, status: 'paused' }, catalogue)).toEqual({
    ...current,
    description: undefined,
  });
  expect(
    mergeDefinition(current, { actions: [task('c')] }, catalogue).actions.map((action) => action.action_id),
  ).toEqual(['c']);
  expect(
    refusalOf(() => mergeDefinition(current, { actions: [task('b', { depends_on: ['a'] })] }, catalogue)).code,
  ).toBe('definition_invalid');
  expect(faultsOf(() => mergeDefinition(current, { tagz: [] }, catalogue))).toEqual([
    "tagz: unknown field 'tagz' (did you mean 'tags'?)",
  ]);
});

test('a task of its own is a workflow of one action that gets all parameters as its config', () => {
  expect(inlineDefinition({ action_type: 'test_task', max_attempts: 2 })).toMatchObject({
    actions: [
      {
        action_id: 'task',
        action_type: 'test_task',
        config: '{{params}}',
        retry: { max_attempts: 2 },
        timeout_seconds: 300,
      },
    ],
  });
});

/** What takes the square of 10,000 steps never ends within it; how fast the machine is does not matter. */
const UNTIL_MS = 60_000;

test('a chain of 10,000 actions is checked, and one more action is rejected', { timeout: UNTIL_MS }, () => {
  const chain = Array.from({ length: 10_000 }, (_, index) =>
    task(`a${index}`, index === 0 ? {} : { config: { x: `{{a${index - 1}.x}}` }, depends_on: [`a${index - 1}`] }),
  );
  const definition = normalise(workflow(chain));
  expect(definition.actions[9_999]?.depends_on).toEqual(['a9998']);
  expect(refusalOf(() => normalise(workflow([...chain, task('more')]))).code).toBe('invalid_request');
});

test('10,000 actions full of faults are rejected, with at most 1,000 faults', { timeout: UNTIL_MS }, () => {
  const bad = Array.from({ length: 10_000 }, (_, index) =>
    task(`action_number_${index}`, {
      action_type: 'tset',
      config: { x: `{{acton_numbre_${index}.x}}` },
      depends_on: [`actoin_nmuber_${index}`],
    }),
  );
  const refusal = refusalOf(() => normalise(workflow(bad)));
  expect(refusal.errors).toHaveLength(1_000);
  expect(refusal.message).toMatch(/and 29990 more$/);
});

test('a cycle of 10,000 actions is found without overflowing the stack', () => {
  const ring = Array.from({ length: 10_000 }, (_, index) =>
    task(`a${index}`, { depends_on: [`a${(index + 1) % 10_000}`] }),
  );
  expect(faultsOf(() => normalise(workflow(ring)))).toEqual([expect.stringMatching(/a0 -> a1 -> .*… -> a0$/)]);
});
