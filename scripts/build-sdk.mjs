/** Builds sdk/dist, which `npm pack` puts into the tarball: each entry in one file, and its types. */
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { build, stop } from 'esbuild';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const out = path.join(root, 'sdk/dist');
const types = path.join(out, 'types');
const common = { absWorkingDir: root, bundle: true, format: 'esm', target: 'es2022', logLevel: 'warning' };

rmSync(out, { recursive: true, force: true });
await build({ ...common, entryPoints: ['sdk/src/index.ts'], outfile: 'sdk/dist/index.js', platform: 'neutral' });
await build({
  ...common,
  entryPoints: ['sdk/src/testing/index.ts'],
  outfile: 'sdk/dist/testing.js',
  platform: 'node',
  legalComments: 'none',
});
await stop();

const compiler = path.join(path.dirname(createRequire(import.meta.url).resolve('typescript/package.json')), 'bin/tsc');
const compiled = spawnSync(process.execPath, [compiler, '-p', 'sdk/tsconfig.json'], { cwd: root, stdio: 'inherit' });
if (compiled.status !== 0) process.exit(1);
nameCompiledFiles(types);
// Only its shape: the declarations of the domain are not in the tarball.
const shape = "import type { TestWorkflow } from './testing/shapes.js';\nexport type * from './testing/shapes.js';\n";
writeFileSync(path.join(types, 'testing.d.ts'), `${shape}export declare const testWorkflow: TestWorkflow;\n`);

/** The compiler leaves the names of sources in declarations, and those are not in the tarball. */
function nameCompiledFiles(folder) {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const file = path.join(folder, entry.name);
    if (entry.isDirectory()) nameCompiledFiles(file);
    else
      writeFileSync(
        file,
        readFileSync(file, 'utf8').replaceAll(/(from '|from "|import\("|import\(')(\.[^'"]*)\.ts(['"])/g, '$1$2.js$3'),
      );
  }
}
