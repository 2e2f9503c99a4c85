/** Live code: compiles when a source changes, and starts the children again once that has worked. */
import { spawn } from 'node:child_process';
import { watch as watchFolder } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

const SOURCES = ['src', 'workers'];
/** Editors write several files, and some write one in several steps. */
const QUIET_MS = 300;

export interface ReloadOptions {
  /** The folder with `src`, `workers` and `tsconfig.build.json`. */
  root: string;
  /** Runs what was compiled. */
  restart(): Promise<void>;
  say(line: string): void;
}

/** Resolves what it returns when nothing is compiled or started any more. */
export function reloadOnChange({ root, restart, say }: ReloadOptions): () => Promise<void> {
  let quiet: NodeJS.Timeout | undefined;
  let reloading: Promise<void> = Promise.resolve();
  let closed = false;

  async function reload(): Promise<void> {
    if (closed) return;
    const compiled = await compile(root);
    if (closed) return;
    say(compiled ? 'The program has changed: starting it again.' : 'This does not compile: what ran before goes on.');
    if (compiled) await restart();
  }

  const watchers = SOURCES.map((folder) =>
    watchFolder(path.join(root, folder), { recursive: true }, (_event, name) => {
      if (name?.endsWith('.ts') !== true) return;
      clearTimeout(quiet);
      quiet = setTimeout(() => {
        reloading = reloading.then(reload);
      }, QUIET_MS);
    }),
  );
  return async () => {
    closed = true;
    clearTimeout(quiet);
    for (const watcher of watchers) watcher.close();
    await reloading;
  };
}

/** Nothing is written unless all of it compiles. */
function compile(root: string): Promise<boolean> {
  const require = createRequire(import.meta.url);
  const manifest = require.resolve('typescript/package.json');
  const { bin } = require(manifest) as { bin: { tsc: string } }; // The compiler's own package.json.
  const args = [path.join(path.dirname(manifest), bin.tsc), '-p', 'tsconfig.build.json', '--noEmitOnError'];
  const compiler = spawn(process.execPath, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'] });
  return new Promise((resolve) => {
    compiler.once('error', () => resolve(false));
    compiler.once('exit', (code) => resolve(code === 0));
  });
}
