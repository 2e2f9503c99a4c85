/** The SDK as one file, as programs of their own load it; each test file has its own copy. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { build } from 'esbuild';
import { projectRoot } from '../../src/project-root.ts';

export async function bundleSdk(): Promise<{ file: string; close(): Promise<void> }> {
  const folder = await mkdtemp(path.join(tmpdir(), 'sdk-bundle-'));
  const file = path.join(folder, 'sdk.mjs');
  await build({
    absWorkingDir: projectRoot(),
    entryPoints: ['sdk/src/index.ts'],
    bundle: true,
    format: 'esm',
    platform: 'neutral',
    outfile: file,
  });
  return { file, close: () => rm(folder, { recursive: true, force: true }) };
}
