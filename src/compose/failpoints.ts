/** What FAILPOINTS asks for, done at the n-th hit of each place. Without it every hit is the one frozen no-op. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Failpoint, NO_FAILPOINT } from '../engine/ports/failpoint.ts';
import type { FailpointName, FailpointRule } from '../schemas/failpoints.ts';

/** To the stores it is a connection that broke: what survives that by itself has to survive this. */
class FailpointError extends Error {
  readonly code = '08006';
  constructor(name: FailpointName) {
    super(`failpoint ${name}`);
    this.name = 'FailpointError';
  }
}

export interface FailpointDeps {
  kill(signal: 'SIGKILL' | 'SIGSTOP'): void;
}

const onSelf: FailpointDeps = { kill: (signal) => void process.kill(process.pid, signal) };

export function createFailpoint(rules: readonly FailpointRule[], deps: FailpointDeps = onSelf): Failpoint {
  if (rules.length === 0) return NO_FAILPOINT;
  const hits = new Map<FailpointName, number>();
  return (name) => {
    const hit = (hits.get(name) ?? 0) + 1;
    hits.set(name, hit);
    const due = rules.filter((rule) => rule.name === name && rule.at === hit);
    return due.length === 0 ? undefined : perform(due, deps);
  };
}

/** Undefined unless it is asked for: gates are removed one by one for it, which only a test can afford. */
export function afterGate(rules: readonly FailpointRule[], failpoint: Failpoint) {
  return rules.some(({ name }) => name === 'gate.afterNth') ? () => failpoint('gate.afterNth') : undefined;
}

async function perform(rules: readonly FailpointRule[], deps: FailpointDeps): Promise<void> {
  for (const { name, action, sleepMs } of rules) {
    switch (action) {
      case 'exit':
        deps.kill('SIGKILL');
        break;
      case 'stop':
        deps.kill('SIGSTOP');
        break;
      case 'sleep':
        await sleep(sleepMs);
        break;
      case 'throw':
        throw new FailpointError(name);
    }
  }
}
