import { describe, expect, test } from 'vitest';
import { referencesOf, resolveTemplates, type TemplateScope } from '../../../../src/domain/templates/templates.ts';
import type { Json, JsonObject } from '../../../../src/schemas/json.ts';
import { refusalOf } from '../../../support/definitions.ts';

const names = {
  parameters: new Set(['title', 'user', 'doc', 'missing', 'run', 'a b']),
  actions: new Set(['fetch', 'call', 'skipped', 'doc', 'a.b', 'a', 'a.b.c', 'later']),
};
const params: JsonObject = {
  title: 'Hello',
  user: { name: 'Ada', tags: ['x', 'y'] },
  doc: 'the parameter',
  extra: 7,
  nothing: null,
  'a b': 'spaces',
  braces: '{{title}}',
};
const outputs = new Map<string, Json>([
  [
    'fetch',
    {
      items: [{ title: 'one' }, { title: 'two' }],
      count: 2,
      ok: true,
      none: null,
      'odd key': 1,
      response: { hidden: 1 },
    },
  ],
  ['call', { status: 200, headers: {}, response: { content: 'text', status: 'inner' } }],
  ['skipped', null],
  ['doc', { x: 'the action' }],
  ['a', { b: { c: 'of a' }, x: 'a.x' }],
  ['a.b', { c: 'of a.b', d: 'a.b.d' }],
  ['a.b.c', { e: 'of a.b.c' }],
]);
const scope: TemplateScope = {
  params,
  run: { id: 'run-1', workflow_id: null, tenant_id: 't', correlation_id: 'c', created_at: '2026-01-01T00:00:00.000Z' },
  outputs,
  isServiceCall: (id) => id === 'call',
  secret: (name) => (name === 'KEY' ? 's3cret' : undefined),
};
const resolve = (value: Json, literal?: string[]) => resolveTemplates(value, scope, names, { literal });

describe('a template that is the whole text keeps the type of what it names', () => {
  test.each<[string, Json]>([
    ['{{title}}', 'Hello'],
    ['{{ title }}', 'Hello'],
    ['{{params.title}}', 'Hello'],
    ['{{params}}', params],
    ['{{user.tags}}', ['x', 'y']],
    ['{{user.tags.1}}', 'y'],
    ['{{params.user.name}}', 'Ada'],
    ['{{params.extra}}', 7],
    ['{{params["a b"]}}', 'spaces'],
    ['{{fetch.count}}', 2],
    ['{{fetch.ok}}', true],
    ['{{fetch.none}}', null],
    ['{{fetch.items.0.title}}', 'one'],
    ['{{fetch.items[1].title}}', 'two'],
    ['{{fetch["odd key"]}}', 1],
    ["{{fetch['items'][0]}}", { title: 'one' }],
    ['{{run.id}}', 'run-1'],
    ['{{run.workflow_id}}', null],
    ['{{secrets.KEY}}', 's3cret'],
  ])('%s', (template, value) => {
    expect(resolve(template)).toEqual(value);
  });
});

test('inside a longer text a template is text: objects as JSON, null as nothing', () => {
  expect(resolve('{{title}}, {{user.name}}! {{fetch.count}}{{fetch.none}} {{user.tags}} {{fetch.ok}}')).toBe(
    'Hello, Ada! 2 ["x","y"] true',
  );
  expect(resolve(' {{fetch.count}}')).toBe(' 2');
});

test('texts are found at any depth, keys and literal fields are left alone, untouched values are not copied', () => {
  const untouched = { deep: [1, { x: 'plain }} text' }] };
  const value = { '{{title}}': ['{{title}}', untouched], code: '{{title}}', nested: { code: '{{title}}' } };
  const resolved = resolve(value, ['code']);
  expect(resolved).toEqual({ '{{title}}': ['Hello', untouched], code: '{{title}}', nested: { code: 'Hello' } });
  expect(resolve(untouched)).toBe(untouched);
});

test('a quoted text between braces stands for itself', () => {
  expect(resolve(`{{'{{'}}title}} {{"it's }}"}}`)).toBe("{{title}} it's }}");
});

test('what a template became is never read as a template again', () => {
  expect(resolve('{{params.braces}}')).toBe('{{title}}');
  expect(resolve('{{params.braces}} {{title}}')).toBe('{{title}} Hello');
});

test('a name alone is the parameter, with a path the action, when both are called so', () => {
  expect(resolve('{{doc}}')).toBe('the parameter');
  expect(resolve('{{doc.x}}')).toBe('the action');
  expect(resolve('{{params.doc}}')).toBe('the parameter');
});

test('a parameter called like a namespace is reached through params', () => {
  expect(referencesOf('{{params.run}} {{run.id}}', names)).toMatchObject([
    { kind: 'param', name: 'run' },
    { kind: 'run', name: 'id' },
  ]);
});

test('of action ids with dots the longest that fits wins', () => {
  expect(resolve('{{a.b.c.e}}')).toBe('of a.b.c');
  expect(resolve('{{a.b.d}}')).toBe('a.b.d');
  expect(resolve('{{a.x}}')).toBe('a.x');
  expect(resolve('{{a["b"].c}}')).toBe('of a');
  expect(resolve('{{a.b}}')).toEqual({ c: 'of a.b', d: 'a.b.d' });
});

test("what a service_call's output does not have is read from its response, and only there", () => {
  expect(resolve('{{call.content}}')).toBe('text');
  expect(resolve('{{call.status}}')).toBe(200);
  expect(resolve('{{call.response.status}}')).toBe('inner');
  expect(refusalOf(() => resolve('{{fetch.hidden}}')).code).toBe('template_unresolved');
});

test('a parameter that was not given, and every path into a skipped action, is null', () => {
  for (const template of [
    '{{missing}}',
    '{{params.missing.deep}}',
    '{{params.never}}',
    '{{params.nothing.x}}',
    '{{skipped}}',
    '{{skipped.response.content}}',
  ]) {
    expect(resolve(template)).toBeNull();
  }
});

test.each([
  ['{{fetch.cuont}}', "the output of 'fetch' has no 'cuont' (did you mean 'count'?)"],
  ['{{fetch.items.2}}', "the output of 'fetch' has no 'items.2'"],
  ['{{fetch.items.length}}', "the output of 'fetch' has no 'items.length'"],
  ['{{fetch.items.-1}}', "has no 'items.-1'"],
  ['{{fetch.items.00}}', "has no 'items.00'"],
  ['{{fetch.none.x}}', "has no 'none.x'"],
  ['{{fetch.constructor}}', "has no 'constructor'"],
  ['{{fetch.__proto__}}', "has no '__proto__'"],
  ['{{title.length}}', "the parameter 'title' has no 'length'"],
  ['{{params.user.toString}}', "the parameter 'user' has no 'toString'"],
  ['{{later}}', "'later' has no output yet"],
  ['{{secrets.OTHER}}', "there is no secret 'OTHER'"],
  ['{{titel}}', "no parameter and no action is called 'titel' (did you mean 'title'?)"],
  ['{{__proto__}}', "no parameter and no action is called '__proto__'"],
  ['{{}}', 'is empty'],
  ['{{ title', "has no closing '}}'"],
  ['{{title | upper}}', 'is not a path'],
  ['{{a + b}}', 'is not a path'],
  ['{{a.}}', 'is not a path'],
  ['{{.a}}', 'is not a path'],
  ['{{a[0}}', 'is not a path'],
  ["{{'a' b}}", 'a quoted text must be followed by'],
  ['{{{title}}}', 'is not a path'],
])('%s is rejected with the reason', (template, reason) => {
  const refusal = refusalOf(() => resolve({ in: [`x ${template}`] }));
  expect(refusal.code).toBe('template_unresolved');
  expect(refusal.message).toContain(reason);
  expect(refusal.errors[0]?.path).toBe('in.0');
});

test('what a value names is listed, each with its path', () => {
  const references = referencesOf(
    { a: '{{fetch.items.0}} {{secrets.KEY}}', b: ['{{params}}', '{{title}}', '{{run.id}}'] },
    names,
  );
  expect(references).toEqual([
    { kind: 'action', name: 'fetch', path: ['items', '0'], source: '{{fetch.items.0}}' },
    { kind: 'secret', name: 'KEY', path: [], source: '{{secrets.KEY}}' },
    { kind: 'param', name: '', path: [], source: '{{params}}' },
    { kind: 'param', name: 'title', path: [], source: '{{title}}' },
    { kind: 'run', name: 'id', path: [], source: '{{run.id}}' },
  ]);
});

test('hostile texts of a megabyte take linear time', () => {
  const started = performance.now();
  for (const text of ['{{', '{', '{{title}}', "{{'", '{{a.', '{{ ', '{{a[', '{{a.b.c.', '}}{{', '{{"}}', `{{'}}'}}`]) {
    const hostile = text.repeat(1_000_000 / text.length);
    try {
      resolve(hostile);
    } catch {
      // Rejected is fine; slow is not.
    }
  }
  expect(performance.now() - started).toBeLessThan(30_000);
});

test('templates cannot multiply a large output beyond bounds', () => {
  const big = new Map<string, Json>([
    ['fetch', { text: 'x'.repeat(1_000_000), list: Array.from({ length: 200_000 }, () => 1) }],
  ]);
  const grow = (value: Json) => refusalOf(() => resolveTemplates(value, { ...scope, outputs: big }, names)).message;
  expect(grow('{{fetch.text}} '.repeat(10_000))).toContain('is larger than');
  expect(grow(Array.from({ length: 10_000 }, () => '{{fetch.text}}'))).toContain('is larger than');
  expect(grow(Array.from({ length: 10_000 }, () => '{{fetch.list}}'))).toContain('is larger than');
});
