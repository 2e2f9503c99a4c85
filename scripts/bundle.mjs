/**
 * Puts the compiled programs and all that they load into a few files in dist/bin, which a process reads in a third of the time
 * of nearly two thousand. What is found by its path at run time (threads, the child of an isolated adapter) is an entry of its own.
 */
import { rmSync } from 'node:fs';
import { build, stop } from 'esbuild';

const PROGRAMS = ['all', 'api', 'audit-verify', 'doctor', 'migrate', 'rotate-secrets', 'start', 'worker'];

/** Optional parts that packages look for and do without, and files that are served as they are. */
const NOT_BUNDLED = ['pg-native', 'msgpackr-extract', 'bufferutil', 'utf-8-validate', '@bull-board/ui'];

/** Packages in the older module format ask for these. */
const COMMONJS = [
  "import { createRequire as createRequireHere } from 'node:module';",
  "import { fileURLToPath as pathHere } from 'node:url';",
  'const require = createRequireHere(import.meta.url);',
  'const __filename = pathHere(import.meta.url);',
].join('\n');

export async function bundle(root) {
  rmSync(`${root}/dist/bin`, { recursive: true, force: true });
  await build({
    absWorkingDir: root,
    entryPoints: {
      ...Object.fromEntries(PROGRAMS.map((name) => [name, `dist/src/bin/${name}.js`])),
      'cel-thread': 'dist/src/expressions/cel-thread.js',
      'watchdog-thread': 'dist/src/watchdog/watchdog-thread.js',
      'isolated-child': 'dist/workers/isolated-child.js',
    },
    outdir: 'dist/bin',
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node20.19',
    external: NOT_BUNDLED,
    banner: { js: COMMONJS },
    // Nothing is made smaller, so that a stack can be read; with `node --enable-source-maps` it names the sources.
    sourcemap: 'linked',
    sourcesContent: false,
    legalComments: 'none',
    logLevel: 'warning',
  });
  // Its own process would stay beside the program that this one becomes.
  await stop();
}
