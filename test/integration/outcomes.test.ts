import { describe, expect } from 'vitest';
import { statuses } from '../harness/client/client.ts';
import { taskOf } from '../support/expect-answers.ts';
import { onBothBackends } from '../support/fixtures.ts';
import { echo, failing, workflow } from '../support/test-task.ts';

describe.each(onBothBackends())('what becomes of actions on $backend', ({ test }) => {
  test('a failed action fails what depends on it and the run, while independent branches finish', async ({ api }) => {
    const run = await api.run(
      workflow([
        echo('start'),
        failing('bad', ['start']),
        echo('after', ['bad']),
        echo('later', ['after']),
        echo('free', ['start'], { duration: 0.3 }),
        echo('freed', ['free']),
      ]),
    );
    expect(run).toMatchObject({
      status: 'failed',
      output: null,
      error: { message: 'bad failed' },
      progress: { completed: 3, failed: 3 },
    });
    expect(statuses(run)).toEqual({
      start: 'completed',
      bad: 'failed',
      after: 'upstream_failed',
      later: 'upstream_failed',
      free: 'completed',
      freed: 'completed',
    });
  });

  test('a join of a failed and a completed branch does not run', async ({ api }) => {
    const run = await api.run(workflow([failing('bad'), echo('good'), echo('join', ['bad', 'good'])]));
    expect(statuses(run)).toEqual({ bad: 'failed', good: 'completed', join: 'upstream_failed' });
  });

  test('with on_failure continue the dependents run, get null, and the run completes', async ({ api }) => {
    const run = await api.run(
      workflow([
        failing('bad', [], { on_failure: 'continue' }),
        echo('after', ['bad'], { got: '{{bad.x}}', whole: '{{bad}}', text: 'is {{bad.x}}' }),
      ]),
    );
    expect(run).toMatchObject({ status: 'completed', output: { after: { got: null, whole: null } } });
    expect(statuses(run)).toEqual({ bad: 'failed', after: 'completed' });
    expect(taskOf(run, 'bad').error).toMatchObject({ message: 'bad failed' });
  });

  test('an action that nothing depends on may fail with on_failure continue, and the run completes', async ({
    api,
  }) => {
    const run = await api.run(workflow([echo('a'), failing('bad', ['a'], { on_failure: 'continue' })]));
    expect(run).toMatchObject({ status: 'completed', output: { bad: null } });
  });

  test('run_if all_done runs whatever happened, and the run still fails', async ({ api }) => {
    const run = await api.run(
      workflow([
        failing('bad'),
        echo('blocked', ['bad']),
        echo('cleanup', ['bad', 'blocked'], {}, { run_if: 'all_done' }),
        echo('more', ['cleanup']),
      ]),
    );
    expect(run.status).toBe('failed');
    expect(statuses(run)).toEqual({
      bad: 'failed',
      blocked: 'upstream_failed',
      cleanup: 'completed',
      more: 'completed',
    });
  });

  test('run_if any_succeeded runs when one dependency succeeded and not when none did', async ({ api }) => {
    const run = await api.run(
      workflow([
        failing('bad', [], { on_failure: 'continue' }),
        failing('worse', [], { on_failure: 'continue' }),
        echo('good'),
        echo('some', ['bad', 'good'], {}, { run_if: 'any_succeeded' }),
        echo('none', ['bad', 'worse'], {}, { run_if: 'any_succeeded', on_failure: 'continue' }),
      ]),
    );
    expect(statuses(run)).toMatchObject({ some: 'completed', none: 'upstream_failed' });
  });

  test('a switch runs one branch, skips what lies under the others, and the join goes on', async ({ api }) => {
    const definition = workflow(
      [
        echo('pick', [], { kind: '{{kind}}' }),
        echo('left', ['pick'], { side: 'left' }, { when: "pick.kind == 'left'" }),
        echo('right', ['pick'], { side: 'right' }, { when: "pick.kind == 'right'" }),
        echo('under_left', ['left']),
        echo('join', ['left', 'right'], { left: '{{left.side}}', right: '{{right.side}}' }),
      ],
      { parameters: [{ name: 'kind', type: 'string' }] },
    );
    const id = await api.createWorkflow(definition);
    const left = await api.finished(await api.execute(id, { parameters: { kind: 'left' } }));
    expect(left).toMatchObject({
      status: 'completed',
      output: { join: { left: 'left', right: null }, under_left: {} },
    });
    expect(statuses(left)).toEqual({
      pick: 'completed',
      left: 'completed',
      right: 'skipped',
      under_left: 'completed',
      join: 'completed',
    });
    const right = await api.finished(await api.execute(id, { parameters: { kind: 'right' } }));
    expect(statuses(right)).toEqual({
      pick: 'completed',
      left: 'skipped',
      right: 'completed',
      under_left: 'skipped',
      join: 'completed',
    });
    const neither = await api.finished(await api.execute(id, { parameters: { kind: 'up' } }));
    expect(neither.status).toBe('completed');
    expect(statuses(neither)).toEqual({
      pick: 'completed',
      left: 'skipped',
      right: 'skipped',
      under_left: 'skipped',
      join: 'skipped',
    });
  });

  test('a condition that cannot be evaluated fails its action and says so', async ({ api }) => {
    const run = await api.run(
      workflow([echo('a'), echo('b', ['a'], {}, { when: 'a.missing.deep == 1', retry: { max_attempts: 1 } })]),
    );
    expect(run.status).toBe('failed');
    expect(taskOf(run, 'b').error).toMatchObject({ code: 'condition_failed' });
  });

  test('templates keep types, and inside a text they are text', async ({ api }) => {
    const value = { list: [1, 'two', null, true], number: 1.5, nested: { deep: { x: 'y' } }, empty: '', yes: true };
    const run = await api.run(
      workflow(
        [
          echo('source', [], { value: '{{value}}' }),
          echo(
            'copy',
            [],
            {
              whole: '{{source.value}}',
              item: '{{source.value.list.1}}',
              number: '{{source.value.number}}',
              yes: '{{source.value.yes}}',
              param: '{{params.value.nested}}',
              text: 'n={{source.value.number}} x={{source.value.nested.deep.x}}',
              run: '{{run.id}}',
            },
            {},
          ),
        ],
        { parameters: [{ name: 'value', type: 'object' }] },
      ),
      { value },
    );
    // `copy` names no dependency: the templates do.
    expect(run).toMatchObject({
      status: 'completed',
      output: {
        copy: {
          whole: value,
          item: 'two',
          number: 1.5,
          yes: true,
          param: value.nested,
          text: 'n=1.5 x=y',
          run: run.execution_id,
        },
      },
    });
    expect(Object.keys(run.output as object)).toEqual(['copy']);
  });

  test('a template that leads nowhere fails its action clearly', async ({ api }) => {
    const run = await api.run(workflow([echo('a', [], { x: 1 }), echo('b', ['a'], { y: '{{a.nothing.here}}' })]));
    expect(run.status).toBe('failed');
    expect(taskOf(run, 'b')).toMatchObject({
      status: 'failed',
      attempts: 1,
      error: { code: 'template_unresolved', message: expect.stringContaining('a.nothing') },
    });
  });

  test('the output template of a workflow makes the output of its runs', async ({ api }) => {
    const run = await api.run(
      workflow([echo('a', [], { n: 2 }), echo('b', ['a'], { m: 3 }), echo('c', ['a'])], {
        output: { first: '{{a.n}}', text: 'b is {{b.m}}', p: '{{params.p}}' },
        parameters: [{ name: 'p', type: 'array' }],
      }),
      { p: [1] },
    );
    expect(run).toMatchObject({ status: 'completed', output: { first: 2, text: 'b is 3', p: [1] } });
  });

  test('transform evaluates CEL over parameters and outputs', async ({ api }) => {
    const run = await api.run(
      workflow(
        [
          echo('a', [], { items: [3, 1, 2] }),
          {
            action_id: 't',
            action_type: 'transform',
            config: { expression: 'a.items.filter(x, x > params.least).map(x, x * 2)' },
            depends_on: ['a'],
          },
        ],
        {
          parameters: [{ name: 'least', type: 'integer' }],
        },
      ),
      { least: 1 },
    );
    expect(run.status).toBe('completed');
    expect(taskOf(run, 't').output).toEqual([6, 4]);
  });

  test('a wait holds the run for its time and no longer, without an attempt being lost', async ({ api, db }) => {
    const until = new Date(Date.now() + 1_200).toISOString();
    const run = await api.run(
      workflow([
        { action_id: 'pause', action_type: 'wait', config: { seconds: 0.8 } },
        { action_id: 'till', action_type: 'wait', config: { until } },
        echo('after', ['pause']),
      ]),
    );
    expect(run).toMatchObject({
      status: 'completed',
      tasks: [{ status: 'completed', attempts: 1 }, { attempts: 1, output: { waited_until: until } }, {}],
    });
    const { rows } = await db.query<{ ms: number }>(
      `SELECT extract(epoch FROM a.finished_at - r.created_at)::float8 * 1000 AS ms FROM task a JOIN run r ON r.id = a.run_id WHERE r.id = $1 AND a.action_id = 'pause'`,
      [run.execution_id],
    );
    expect(rows[0]?.ms).toBeGreaterThanOrEqual(800);
    expect(rows[0]?.ms).toBeLessThan(5_000);
  });

  test('delay_seconds of an action counts from the end of what it depends on', async ({ api, db }) => {
    const run = await api.run(
      workflow([echo('a', [], { duration: 0.3 }), echo('b', ['a'], {}, { delay_seconds: 0.7 })]),
    );
    expect(run.status).toBe('completed');
    const { rows } = await db.query<{ ms: number }>(
      `SELECT extract(epoch FROM b.started_at - a.finished_at)::float8 * 1000 AS ms FROM task a, task b WHERE a.run_id = $1 AND b.run_id = $1 AND a.action_id = 'a' AND b.action_id = 'b'`,
      [run.execution_id],
    );
    // The queue counts in its own clock, from the moment that the last dependency is acknowledged.
    expect(rows[0]?.ms).toBeGreaterThanOrEqual(690);
  });
});
