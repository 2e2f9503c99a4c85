/** What is generated for the SDKs says what the document and the action types say today, and stays small. */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import { expect, test } from 'vitest';
import { generatedFiles } from '../../../scripts/sdk/files.ts';
import { projectRoot } from '../../../src/project-root.ts';

const COMPRESSED_BYTES = 20_000;

test('the generated files of the SDKs are those that npm run sdk would write', async () => {
  const files = await generatedFiles();
  expect(files.size).toBeGreaterThan(0);
  for (const [name, content] of files) {
    const committed = await readFile(path.join(projectRoot(), name), 'utf8');
    expect(committed === content, `${name} is out of step: npm run sdk`).toBe(true);
  }
});

test('the SDK has no dependencies, and what a program loads of it is at most 20 kB compressed', async () => {
  const manifest = JSON.parse(await readFile(path.join(projectRoot(), 'sdk/package.json'), 'utf8')) as object;
  expect(manifest).not.toHaveProperty('dependencies');
  expect(manifest).not.toHaveProperty('peerDependencies');
  const { outputFiles, metafile } = await build({
    absWorkingDir: projectRoot(),
    entryPoints: ['sdk/src/index.ts'],
    bundle: true,
    format: 'esm',
    // Of Node there is nothing in it, or this would fail.
    platform: 'browser',
    write: false,
    metafile: true,
  });
  const [file] = outputFiles;
  expect(gzipSync(file?.contents ?? '').length).toBeLessThanOrEqual(COMPRESSED_BYTES);
  expect(Object.keys(metafile.inputs).filter((name) => !name.startsWith('sdk/src/'))).toEqual([]);
});
