/** promtool, which tests the rules of Prometheus: from PATH, or on Debian fetched (not installed: no service begins). */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

const FETCH_MS = 40_000;

/** Undefined where there is none and none can be had. */
export function findPromtool(): string | undefined {
  if (runs('promtool')) return 'promtool';
  if (process.getuid?.() !== 0 || !existsSync('/etc/debian_version')) return undefined;
  const folder = path.join(tmpdir(), 'orchestrator-promtool');
  const program = path.join(folder, 'usr/bin/promtool');
  if (runs(program)) return program;
  mkdirSync(folder, { recursive: true });
  const apt = (...args: string[]) =>
    spawnSync('apt-get', args, { cwd: folder, stdio: 'ignore', timeout: FETCH_MS }).status === 0;
  const fetched = apt('download', 'prometheus') || (apt('update') && apt('download', 'prometheus'));
  const archive = fetched ? readdirSync(folder).find((name) => name.endsWith('.deb')) : undefined;
  if (archive === undefined) return undefined;
  spawnSync('dpkg', ['-x', archive, folder], { cwd: folder, stdio: 'ignore' });
  return runs(program) ? program : undefined;
}

function runs(program: string): boolean {
  return spawnSync(program, ['--version'], { stdio: 'ignore' }).status === 0;
}
