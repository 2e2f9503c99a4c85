/** An empty project with the tarball of the SDK and nothing else. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { projectRoot } from '../../src/project-root.ts';

const run = promisify(execFile);

export interface SdkProject {
  folder: string;
  write(name: string, content: string): Promise<string>;
  close(): Promise<void>;
}

export async function openSdkProject(): Promise<SdkProject> {
  const folder = await mkdtemp(path.join(tmpdir(), 'sdk-project-'));
  const write = async (name: string, content: string) => {
    const file = path.join(folder, name);
    await writeFile(file, content);
    return file;
  };
  const packed = await run('npm', ['pack', '--json', '--pack-destination', folder], {
    cwd: path.join(projectRoot(), 'sdk'),
    maxBuffer: 2 ** 24,
  });
  // What the build says may stand before it.
  const [made] = JSON.parse(packed.stdout.slice(packed.stdout.indexOf('[\n'))) as Array<{ filename: string }>;
  await write('package.json', JSON.stringify({ name: 'empty', private: true, type: 'module' }));
  await run('npm', ['install', '--offline', '--ignore-scripts', '--no-audit', '--no-fund', `./${made?.filename}`], {
    cwd: folder,
  });
  return { folder, write, close: () => rm(folder, { recursive: true, force: true }) };
}
