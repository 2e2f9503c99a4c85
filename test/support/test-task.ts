/** Short spellings of definitions for tests. */
export interface TestAction {
  action_id: string;
  action_type: string;
  config: unknown;
  [field: string]: unknown;
}

/** An action that echoes its config. */
export function echo(
  id: string,
  dependsOn: readonly string[] = [],
  config: object = {},
  more: object = {},
): TestAction {
  return { action_id: id, action_type: 'test_task', config, depends_on: [...dependsOn], ...more };
}

/** An action whose one and only attempt fails. */
export function failing(id: string, dependsOn: readonly string[] = [], more: object = {}): TestAction {
  return echo(id, dependsOn, { fail_with: `${id} failed` }, { retry: { max_attempts: 1 }, ...more });
}

export function workflow(
  actions: readonly TestAction[],
  more: object = {},
): { name: string; actions: readonly TestAction[] } {
  return { name: 'test', actions, ...more };
}

/** At most two attempts, a tenth of a second apart. */
export const QUICK_RETRY = { max_attempts: 2, backoff: 'fixed', initial_delay_seconds: 0.1 };
