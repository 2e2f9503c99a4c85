/** The graphs that are measured. Every task echoes its small input and does nothing else. */
export interface Workload {
  id: string;
  title: string;
  tasks: number;
  /** In an order in which every action comes after those it depends on. */
  actions: ReadonlyArray<{ id: string; dependsOn: readonly string[] }>;
}

const chain = ['a', 'b', 'c', 'd', 'e'];

export const WORKLOADS: readonly Workload[] = [
  workload('W1', 'single task', [{ id: 'a', dependsOn: [] }]),
  workload(
    'W2',
    'chain of 5',
    chain.map((id, index) => ({ id, dependsOn: chain.slice(Math.max(0, index - 1), index) })),
  ),
  fanOut('W3', '1 → 10 → 1', 10),
  workload('W4', 'diamond', [
    { id: 'a', dependsOn: [] },
    { id: 'b', dependsOn: ['a'] },
    { id: 'c', dependsOn: ['a'] },
    { id: 'd', dependsOn: ['b', 'c'] },
  ]),
];

export function fanOut(id: string, title: string, width: number): Workload {
  const middle = Array.from({ length: width }, (_, index) => `m${index}`);
  return workload(id, title, [
    { id: 'a', dependsOn: [] },
    ...middle.map((name) => ({ id: name, dependsOn: ['a'] })),
    { id: 'z', dependsOn: middle },
  ]);
}

function workload(id: string, title: string, actions: Workload['actions']): Workload {
  return { id, title, actions, tasks: actions.length };
}
