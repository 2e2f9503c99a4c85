/** What processes have used, as Linux tells it: CPU time and resident memory. */
import { readdirSync, readFileSync } from 'node:fs';

const TICK_MS = 10; // USER_HZ is 100 on every Linux of today.

export interface Usage {
  cpuMs: number;
  residentBytes: number;
}

/** Of a process without its children. */
export function usageOf(pid: number): Usage {
  const fields = statOf(pid);
  return { cpuMs: (numberAt(fields, 11) + numberAt(fields, 12)) * TICK_MS, residentBytes: residentOf(pid) };
}

/** Of a server that works in children, those included that have ended. Memory is that of the server's own process. */
export function usageOfTree(pid: number): Usage {
  const own = statOf(pid);
  const ended = (numberAt(own, 13) + numberAt(own, 14)) * TICK_MS;
  const alive = childrenOf(pid).map(usageOf);
  const self = usageOf(pid);
  return {
    cpuMs: self.cpuMs + ended + alive.reduce((sum, { cpuMs }) => sum + cpuMs, 0),
    residentBytes: self.residentBytes,
  };
}

function childrenOf(parent: number): number[] {
  return readdirSync('/proc').flatMap((name) => {
    const pid = Number(name);
    if (!Number.isInteger(pid)) return [];
    return numberAt(statOf(pid), 1) === parent ? [pid] : [];
  });
}

/** The fields of /proc/<pid>/stat after the name, which may hold spaces; empty when the process is gone. */
function statOf(pid: number): string[] {
  const text = read(`/proc/${pid}/stat`);
  return text.slice(text.lastIndexOf(')') + 2).split(' ');
}

function residentOf(pid: number): number {
  return Number(/VmRSS:\s+(\d+) kB/.exec(read(`/proc/${pid}/status`))?.[1] ?? 0) * 1024;
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

function numberAt(fields: readonly string[], index: number): number {
  return Number(fields[index] ?? 0);
}
