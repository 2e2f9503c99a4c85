/** A member of a consumer group that dies with what it has in hand: a compiled process, so that nothing of it can say goodbye. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';
import { projectRoot } from '../../src/project-root.ts';

export interface DyingMember {
  /** The values of what it got. */
  got: string[];
  kill(): Promise<void>;
}

export interface MemberProgram {
  /** Below `src`, as it is compiled. */
  module: string;
  /** Its function that makes the transport, and its arguments before and after the log. */
  make: string;
  options: object;
  times?: object;
}

export function startDyingMember({ module, ...program }: MemberProgram, group: string, topic: string): DyingMember {
  const compiled = pathToFileURL(path.join(projectRoot(), 'dist/src', module)).href;
  const script = path.join(projectRoot(), 'test/support/children/transport-member.mjs');
  const settings = JSON.stringify({ ...program, module: compiled, group, topic });
  const child = spawn(process.execPath, [script, settings], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(child, 'exit');
  const got: string[] = [];
  createInterface({ input: child.stdout }).on('line', (line) => got.push(line));
  return {
    got,
    async kill() {
      child.kill('SIGKILL');
      await ended;
    },
  };
}
