/** A file system so small that it can be filled, where the machine lets us mount one (Linux, as root). */
import { spawnSync } from 'node:child_process';
import { open, rm } from 'node:fs/promises';
import path from 'node:path';

export interface SmallDisk {
  folder: string;
  /** Nothing more can be written, until what it resolves to is called. */
  fill(): Promise<() => Promise<void>>;
  unmount(): void;
}

export function mountSmallDisk(folder: string, megabytes: number): SmallDisk {
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m,mode=0755`, 'tmpfs', folder]);
  if (mounted.status !== 0) throw new Error(`no small file system can be mounted here: ${mounted.stderr}`);
  return {
    folder,
    async fill() {
      const file = path.join(folder, 'filling');
      await writeUntilFull(file);
      return () => rm(file);
    },
    unmount() {
      spawnSync('umount', [folder]);
    },
  };
}

async function writeUntilFull(file: string): Promise<void> {
  const filling = await open(file, 'w');
  try {
    // By pages in the end, so that not even a short line finds room.
    for (const size of [1024 * 1024, 4 * 1024]) {
      const block = Buffer.alloc(size);
      try {
        for (;;) await filling.write(block);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
      }
    }
  } finally {
    await filling.close();
  }
}
