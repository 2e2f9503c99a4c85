/** Messages that can never be taken in, of every kind, with the code that says why. */
import { randomUUID } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import type { PoisonCode } from '../../../src/features/flow-runner/transport/ports.ts';

export interface BadMessage {
  name: string;
  value: string | Buffer | null;
  key?: string;
  code: PoisonCode;
}

/** What has to be there: workflows of the tenant `default`, and a run. */
export interface Surroundings {
  /** Needs the parameter `count`, a number, and takes `code`, of at least three characters. */
  counting: string;
  paused: string;
  deleted: string;
  /** Of a run that did not come by a message. */
  runId: string;
  maxBytes: number;
}

export const FLOW = {
  ...{ id: 'order', version: '1', type: 'DAG' },
  tasks: [{ id: 'reserve', handler: 'test_task', inputs: {} }],
};

export function flowRun(more: object = {}): Record<string, unknown> {
  return {
    ...{ event_type: 'flow_run_requested', run_id: randomUUID(), correlation_id: randomUUID(), flow_id: 'order' },
    ...{ tenant_id: 'default', user_id: 'user-id', input: {}, flow_definition: FLOW, execution_context: {} },
    ...more,
  };
}

export function badMessages(around: Surroundings): BadMessage[] {
  return [
    ...notJson(),
    ...tooLarge(around.maxBytes),
    ...wrongSchema(),
    ...wrongDefinition(),
    ...unfit(around),
    ...ofOthers(around),
  ];
}

function notJson(): BadMessage[] {
  const texts: Record<string, string | Buffer | null> = {
    'a tombstone': null,
    'an empty value': '',
    'white space': ' \n\t ',
    'an open object': '{"run_id":"a"',
    'an open list': '[1,2',
    'a trailing comma': '{"run_id":"a",}',
    'single quotes': "{'run_id':'a'}",
    'keys without quotes': '{run_id:"a"}',
    'a comment': '{"run_id":"a"} // x',
    'two documents': '{} {}',
    'a bare word': 'flow',
    undefined: 'undefined',
    NaN: '{"run_id":NaN}',
    infinity: '{"run_id":-Infinity}',
    'a leading zero': '{"run_id":01}',
    'a plus sign': '{"run_id":+1}',
    'a hexadecimal number': '{"run_id":0x1}',
    'an open string': '{"run_id":"a}',
    'an unknown escape': '{"run_id":"\\x41"}',
    'half an escape': '{"run_id":"\\u00"}',
    'a control character in a string': '{"run_id":"a\u0001"}',
    'a line break in a string': '{"run_id":"a\nb"}',
    XML: '<run id="a"/>',
    YAML: 'run_id: a\nflow_id: b\n',
    'a byte that is no UTF-8': Buffer.concat([Buffer.from('{"run_id":"'), Buffer.from([0xff]), Buffer.from('"}')]),
    'half a character of UTF-8': Buffer.concat([
      Buffer.from('{"run_id":"'),
      Buffer.from([0xe2, 0x82]),
      Buffer.from('"}'),
    ]),
    'an overlong character': Buffer.concat([Buffer.from('{"run_id":"'), Buffer.from([0xc0, 0xaf]), Buffer.from('"}')]),
    'UTF-16': Buffer.from('{"run_id":"a"}', 'utf16le'),
    'a compressed value': gzipSync('{"run_id":"a"}'),
    'a registry of schemas before it': Buffer.concat([Buffer.from([0, 0, 0, 0, 7]), Buffer.from('{"run_id":"a"}')]),
    'zero bytes': Buffer.alloc(16),
  };
  return [
    ...Object.entries(texts).map(([name, value]): BadMessage => ({ name, value, code: 'invalid_json' })),
    { name: 'a key with a zero character', value: '{', key: 'a\u0000b', code: 'invalid_json' },
  ];
}

function tooLarge(maxBytes: number): BadMessage[] {
  return [
    {
      name: 'a value over the limit',
      value: json({ input: { text: 'x'.repeat(maxBytes) } }),
      code: 'message_too_large',
    },
    { name: 'no JSON over the limit', value: 'x'.repeat(maxBytes + 1), code: 'message_too_large' },
    {
      name: 'a key that takes it over the limit',
      value: 'x'.repeat(maxBytes - 10),
      key: 'k'.repeat(11),
      code: 'message_too_large',
    },
  ];
}

function wrongSchema(): BadMessage[] {
  const whole: Record<string, unknown> = {
    null: null,
    true: true,
    'a number': 7,
    'a text': 'flow',
    'a list': [flowRun()],
    'an empty object': {},
  };
  const fields: Record<string, object> = {
    'no run_id': { run_id: undefined },
    'run_id null': { run_id: null },
    'a run_id that is a number': { run_id: 7 },
    'an empty run_id': { run_id: '' },
    'a run_id of 256 characters': { run_id: 'x'.repeat(256) },
    'a run_id with a zero character': { run_id: 'a\u0000b' },
    'no flow_id': { flow_id: undefined },
    'a flow_id that is an object': { flow_id: {} },
    'an empty flow_id': { flow_id: '' },
    'no tenant_id': { tenant_id: undefined },
    'a tenant_id that is a list': { tenant_id: ['default'] },
    'an empty tenant_id': { tenant_id: '' },
    'a tenant_id of 256 characters': { tenant_id: 'x'.repeat(256) },
    'a user_id that is a number': { user_id: 1 },
    'a correlation_id that is an object': { correlation_id: {} },
    'another event_type': { event_type: 'flow_run_cancelled' },
    'an input that is a list': { input: [] },
    'an input that is a text': { input: '{}' },
    'a flow_definition that is a text': { flow_definition: '{}' },
    'a flow_definition that is a list': { flow_definition: [FLOW] },
    'an execution_context that is a list': { execution_context: [1] },
    'an execution_context over 64 KiB': { execution_context: { text: 'x'.repeat(64 * 1024) } },
    'an unknown priority': { priority: 'soon' },
    'a priority over 100': { priority: 101 },
    'a priority that is no whole number': { priority: 1.5 },
    'half a character in the input': { input: { text: '\ud800' } },
    'nesting over the limit': { input: { deep: nested(150) } },
  };
  return [
    ...Object.entries(whole).map(([name, value]) => bad(name, JSON.stringify(value))),
    ...Object.entries(fields).map(([name, more]) => bad(name, json(more))),
    bad('a key that would be a prototype', json({}).replace('"input":{}', '"input":{"__proto__":{"admin":true}}')),
  ];
}

function wrongDefinition(): BadMessage[] {
  const task = (id: string, more: object = {}) => ({ id, handler: 'test_task', inputs: {}, ...more });
  const definitions: Record<string, object> = {
    'a flow without tasks': { ...FLOW, tasks: [] },
    'tasks that are no list': { ...FLOW, tasks: {} },
    'a task without an id': { ...FLOW, tasks: [{ handler: 'test_task', inputs: {} }] },
    'a task without a handler': { ...FLOW, tasks: [{ id: 'a', inputs: {} }] },
    'two tasks with one id': { ...FLOW, tasks: [task('a'), task('a')] },
    'a dependency that is not there': { ...FLOW, tasks: [task('a', { depends_on: ['b'] })] },
    'a task that depends on itself': { ...FLOW, tasks: [task('a', { depends_on: ['a'] })] },
    'a circle of tasks': { ...FLOW, tasks: [task('a', { depends_on: ['b'] }), task('b', { depends_on: ['a'] })] },
    'negative retries': { ...FLOW, tasks: [task('a', { retries: -1 })] },
    'a timeout that is a text': { ...FLOW, tasks: [task('a', { timeout: 'long' })] },
    'a machine of states': {
      id: 'order',
      version: '1',
      type: 'STATE_MACHINE',
      nodes: [{ id: 'a', handler: 'test_task' }],
    },
    'a type that does not exist': { ...FLOW, type: 'TREE' },
  };
  return Object.entries(definitions).map(([name, flow_definition]) => bad(name, json({ flow_definition })));
}

function unfit({ counting, paused, deleted }: Surroundings): BadMessage[] {
  const unknown = (handler: string) => ({ ...FLOW, tasks: [{ id: 'a', handler, inputs: {} }] });
  return [
    bad('a parameter that is missing', json({ flow_id: counting, flow_definition: {} })),
    bad('a parameter of the wrong type', json({ flow_id: counting, flow_definition: {}, input: { count: 'many' } })),
    bad(
      'a parameter that is too short',
      json({ flow_id: counting, flow_definition: {}, input: { count: 1, code: 'a' } }),
    ),
    bad('a workflow that is paused', json({ flow_id: paused, flow_definition: {} })),
    { ...bad('a flow that is not there', json({ flow_id: 'nothing', flow_definition: {} })), code: 'unknown_flow' },
    {
      ...bad(
        'a flow that is not there, without a definition',
        json({ flow_id: 'nothing', flow_definition: undefined }),
      ),
      code: 'unknown_flow',
    },
    { ...bad('a flow that was deleted', json({ flow_id: deleted, flow_definition: null })), code: 'unknown_flow' },
    {
      ...bad('a handler that nobody has', json({ flow_definition: unknown('nobodys_handler') })),
      code: 'unknown_handler',
    },
    { ...bad('a handler in other capitals', json({ flow_definition: unknown('Test_Task') })), code: 'unknown_handler' },
  ];
}

function ofOthers({ runId }: Surroundings): BadMessage[] {
  const other = (tenant_id: string) => ({
    ...bad(`the tenant '${tenant_id}'`, json({ tenant_id })),
    code: 'tenant_not_allowed' as const,
  });
  return [
    { ...bad('the id of a run that did not come by a message', json({ run_id: runId })), code: 'run_id_conflict' },
    ...['another', 'Default', ' default', '*', 'default\u0000'].map(other),
  ];
}

function bad(name: string, value: string): BadMessage {
  return { name, value, code: 'invalid_message' };
}

function json(more: object): string {
  return JSON.stringify(flowRun(more));
}

function nested(depth: number): unknown {
  let value: unknown = 1;
  for (let level = 0; level < depth; level += 1) value = [value];
  return value;
}
