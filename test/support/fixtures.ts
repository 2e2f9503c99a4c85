/** `test` with a running service: one stack for each file and backend, and the independent check after every test. */
import { test as base } from 'vitest';
import { expectRest } from '../harness/checker/at-rest.ts';
import { describeUnfinished } from '../harness/checker/stuck-runs.ts';
import { reportFailure } from '../harness/failure-log.ts';
import { BACKENDS, type BackendKind } from '../harness/servers/backends.ts';
import { startService } from '../harness/services/service.ts';
import { openStack, type Stack, type StackOptions } from './stack.ts';

/** The stack that the tests of this process use now. */
let current: Stack | undefined;

/** For `describe.each` at the top of a file: each backend has a stack of its own, begun by its first test. */
export function onBothBackends(options: StackOptions = {}) {
  return BACKENDS.map((backend) => ({ backend, test: stackTest(backend, options) }));
}

function stackTest(backend: BackendKind, options: StackOptions = {}) {
  return base
    .extend('backend', { scope: 'file' }, backend)
    .extend('stack', { scope: 'file' }, async ({ backend: kind }, { onCleanup }) => {
      // Those on the other backend are over: what idles beside this one only takes its time.
      await current?.stop();
      const stack = await openStack(kind, options);
      current = stack;
      onCleanup(async () => {
        if (current !== stack) return;
        current = undefined;
        await stack.stop();
      });
      return stack;
    })
    .extend('atRest', { auto: true }, async ({ stack, task, onTestFailed }, { onCleanup }) => {
      let unfinished = '';
      onTestFailed((test) => reportFailure(test, `${stack.log.tail()}\n${unfinished}`));
      onCleanup(async () => {
        if (task.result?.state === 'fail') unfinished = await describeUnfinished(stack);
        await expectRest(stack);
        // Nothing was broken here, so everything has to go right without the nets.
        const alarms = stack.log.takeAlarms().map(({ event, fields }) => `${event} ${JSON.stringify(fields)}`);
        if (alarms.length > 0) throw new Error(`a net had to catch something: ${alarms.slice(0, 5).join('; ')}`);
      });
      return true;
    })
    .extend('api', ({ stack }) => stack.api)
    .extend('db', ({ stack }) => stack.db)
    .extend('service', async ({ backend: _ }, { onCleanup }) => {
      const service = await startService();
      onCleanup(() => service.close());
      return service;
    });
}
