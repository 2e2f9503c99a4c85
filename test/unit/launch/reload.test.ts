/** Live code, with the compiler and a small program of its own. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { reloadOnChange } from '../../../src/launch/reload.ts';
import { until } from '../../harness/until.ts';

let root: string;
let said: string[];
/** What was compiled each time that the program was started again. */
let restarts: string[];
let close: () => Promise<void>;

const source = (text: string) => writeFileSync(path.join(root, 'src/program.ts'), text);
const compiled = () => readFileSync(path.join(root, 'dist/program.js'), 'utf8').trim();

beforeEach(() => {
  root = mkdtempSync(path.join(tmpdir(), 'reload-'));
  for (const folder of ['src', 'workers', 'dist']) mkdirSync(path.join(root, folder));
  const compilerOptions = { outDir: 'dist', rootDir: 'src', target: 'es2022', module: 'nodenext', types: [] };
  writeFileSync(path.join(root, 'tsconfig.build.json'), JSON.stringify({ compilerOptions, include: ['src'] }));
  writeFileSync(path.join(root, 'package.json'), '{"type": "module"}');
  said = [];
  restarts = [];
  close = reloadOnChange({
    root,
    restart: async () => void restarts.push(compiled()),
    say: (line) => void said.push(line),
  });
});
afterEach(async () => {
  await close();
  rmSync(root, { recursive: true, force: true });
});

test('a changed source is compiled and the program started again, as often as it changes', async () => {
  source('export const n: number = 1;');
  await until(() => restarts.length === 1);
  source('export const n: number = 2;');
  await until(() => restarts.length === 2);
  expect(restarts).toEqual(['export const n = 1;', 'export const n = 2;']);
});

test('what does not compile changes nothing, and the next one that does is run', async () => {
  source('export const n: number = 1;');
  await until(() => restarts.length === 1);
  source("export const n: number = 'two';");
  await until(() => said.includes('This does not compile: what ran before goes on.'));
  expect(compiled()).toBe('export const n = 1;');
  source('export const n: number = 3;');
  await until(() => restarts.length === 2);
  expect(restarts).toEqual(['export const n = 1;', 'export const n = 3;']);
});
