/** The processes of isolated adapters that a worker has, as the machine sees them. */
import { readdirSync, readFileSync } from 'node:fs';

export interface IsolatedChild {
  pid: number;
  command: string;
  environment: string;
}

export function isolatedChildren(isParent: (pid: number) => boolean): IsolatedChild[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      try {
        const [, state, ppid] = readFileSync(`/proc/${name}/stat`, 'utf8')
          .replace(/^.*\) /, 'x ')
          .split(' ');
        const command = readFileSync(`/proc/${name}/cmdline`, 'utf8').replaceAll('\0', ' ');
        if (state === 'Z' || !isParent(Number(ppid)) || !command.includes('isolated-child')) return [];
        return [{ pid: Number(name), command, environment: readFileSync(`/proc/${name}/environ`, 'utf8') }];
      } catch {
        return []; // It ended meanwhile.
      }
    });
}
