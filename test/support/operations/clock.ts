/** The clock that a PostgreSQL server sees, which can be set while it runs: libfaketime, on Debian installed when it is missing. */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { rename, writeFile } from 'node:fs/promises';
import path from 'node:path';

export interface MovableClock {
  /** What a process is started with to see it. */
  environment: Record<string, string>;
  /** From now on it is so much later, or earlier, than it really is. */
  set(offsetSeconds: number): Promise<void>;
}

/** `folder`: where the server can read a file. */
export async function openMovableClock(folder: string): Promise<MovableClock> {
  const library = findLibrary();
  const file = path.join(folder, 'clock');
  const set: MovableClock['set'] = async (offsetSeconds) => {
    // A reader must never find half of it.
    await writeFile(`${file}.new`, `${offsetSeconds < 0 ? '-' : '+'}${Math.abs(offsetSeconds)}\n`, { mode: 0o644 });
    await rename(`${file}.new`, file);
  };
  await set(0);
  return {
    set,
    environment: {
      LD_PRELOAD: library,
      FAKETIME_TIMESTAMP_FILE: file,
      FAKETIME_NO_CACHE: '1',
      // A clock that is set moves the time of day, and nothing of what waits.
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
      FAKETIME_DONT_RESET: '1',
    },
  };
}

function findLibrary(): string {
  const found = installed();
  if (found !== undefined) return found;
  if (process.getuid?.() === 0 && existsSync('/etc/debian_version')) {
    const environment = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
    const install = ['install', '-y', '--no-install-recommends', '-o', 'Dpkg::Use-Pty=0', 'libfaketime'];
    for (const args of [['update'], install]) spawnSync('apt-get', args, { env: environment, stdio: 'ignore' });
    const now = installed();
    if (now !== undefined) return now;
  }
  throw new Error('This test moves the clock of PostgreSQL with libfaketime: install the package libfaketime.');
}

function installed(): string | undefined {
  const roots = ['/usr/lib', '/usr/lib64', '/usr/local/lib'];
  const folders = roots.flatMap((root) => [
    path.join(root, 'faketime'),
    ...(existsSync(root) ? readdirSync(root).map((name) => path.join(root, name, 'faketime')) : []),
  ]);
  return folders.map((folder) => path.join(folder, 'libfaketime.so.1')).find((file) => existsSync(file));
}
