import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { projectRoot } from '../../src/project-root.ts';

const FORBIDDEN = [
  ['src/domain', '../engine/ports/runs.ts'],
  ['src/domain', '../store/core/database.ts'],
  ['src/domain/graph', '../../engine/ports/runs.ts'],
  ['src/domain/graph', '../../store/core/database.ts'],
  ['src/domain/graph', '../../features/approvals/domain.ts'],
  ['src/engine', '../features/approvals/domain.ts'],
  ['src/store', '../features/approvals/store.ts'],
  ['src/queue', '../features/schedules/ports.ts'],
  ['src/http', '../features/approvals/routes.ts'],
  ['src/doctor', '../features/diagnosis/domain.ts'],
  ['src/domain', 'node:fs'],
  ['src/domain', 'node:crypto'],
  ['src/schemas', '../domain/definition/definition.ts'],
  ['src/engine', '../store/core/database.ts'],
  ['src/engine', '../queue/queues.ts'],
  ['src/engine', '../http/server/app.ts'],
  ['src/engine', '../../workers/lane.ts'],
  ['src/engine', 'bullmq'],
  ['src/engine', '@prisma/client'],
  ['src/store', '../queue/queues.ts'],
  ['src/store', 'bullmq'],
  ['src/queue', '../store/core/database.ts'],
  ['src/http', '../store/core/database.ts'],
  ['src/http', '../queue/queues.ts'],
  ['src/http', 'bullmq'],
  ['src/dashboard', '../queue/queues.ts'],
  ['src/dashboard', 'bullmq'],
  ['src/telemetry', 'bullmq'],
  ['src/bin', 'bullmq'],
  ['src', 'bullmq'],
  ['workers', '../src/store/core/database.ts'],
  ['workers', '../src/features/services/ports.ts'],
  ['workers', '../src/compose/processes.ts'],
  ['workers', 'bullmq'],
  ['workers/adapters', './http-request.ts'],
  ['workers/adapters', '../catalogue.ts'],
  ['workers/adapters', '../../src/engine/ports/runs.ts'],
  ['workers/adapters', 'bullmq'],
] as const;

const ALLOWED = [
  ['src/domain', '../schemas/json.ts'],
  ['src/domain', './graph/graph.ts'],
  ['src/domain/graph', './plan.ts'],
  ['src/domain/graph', '../definition/definition.ts'],
  ['src/domain/graph', '../../schemas/json.ts'],
  ['src/domain', 'zod'],
  ['src/engine', '../domain/errors.ts'],
  ['src/store', '../engine/ports/runs.ts'],
  ['src/queue', '../engine/ports/runs.ts'],
  ['src/queue', 'bullmq'],
  ['src/http', '../engine/ports/use-cases.ts'],
  ['src', './store/core/database.ts'],
  ['src/bin', '../compose/processes.ts'],
  ['workers', '../src/engine/ports/runs.ts'],
  ['workers/adapters', '../adapter.ts'],
  ['workers/adapters', 'nodemailer'],
] as const;

const imports = (module: string) => `import { thing } from '${module}';\n\nexport const use = [thing];\n`;
const ENVIRONMENT = "export const port = process.env['PORT'];\n";

/** File -> text. Linted all at once, because each start of the linter takes its time. */
const files = new Map<string, string>();
const findings = new Map<string, string[]>();
const folder = mkdtempSync(path.join(tmpdir(), 'layers-'));

function file(name: string, text: string): string {
  files.set(name, text);
  return name;
}
function found(name: string): string[] {
  return findings.get(name) ?? [];
}

const forbidden = FORBIDDEN.map(([layer, module], index) => ({
  layer,
  module,
  name: file(`${layer}/forbidden-${index}.ts`, imports(module)),
}));
const allowed = ALLOWED.map(([layer, module], index) => ({
  layer,
  module,
  name: file(`${layer}/allowed-${index}.ts`, imports(module)),
}));
const otherWays = [
  `import type { Database } from '../store/core/database.ts';\n\nexport type D = Database;\n`,
  `export { openDatabase } from '../store/core/database.ts';\n`,
  `export const later = () => import('../store/core/database.ts');\n`,
].map((text, index) => file(`src/engine/other-way-${index}.ts`, text));
const impure = [
  'Date.now()',
  'new Date()',
  "fetch('http://x')",
  'process.pid',
  'setTimeout(() => 1, 1)',
  'performance',
].map((expression, index) => ({
  expression,
  name: file(`src/domain/impure-${index}.ts`, `export const use = () => [${expression}];\n`),
}));
const featureImports = [
  ['domain.ts', '../../engine/ports/runs.ts', false],
  ['domain.ts', '../../domain/errors.ts', true],
  ['schemas.ts', '../../domain/errors.ts', false],
  ['schemas.ts', '../../schemas/json.ts', true],
  ['store.ts', 'bullmq', false],
  ['store.ts', '../../store/core/database.ts', true],
  ['routes.ts', './store.ts', false],
  ['routes.ts', '../../http/server/operation.ts', true],
  ['decide.ts', '../../compose/egress.ts', false],
  ['api.ts', './store.ts', true],
  ['adapter.ts', '../../engine/ports/runs.ts', false],
  ['some-adapter.ts', './store.ts', false],
  ['adapter.ts', '../../../workers/adapter.ts', true],
  ['adapter.ts', './domain.ts', true],
].map(([room, module, isAllowed], index) => ({
  what: `a feature's ${room} ${isAllowed ? 'may' : 'may not'} import ${module}`,
  isAllowed,
  name: file(`src/features/some-${index}/${room}`, imports(String(module))),
}));
const circle = ['one', 'other'].map((name, index, names) =>
  file(
    `src/engine/${name}.ts`,
    `import type { T${1 - index} } from './${names[1 - index]}.ts';\n\nexport type T${index} = T${1 - index} | string;\n`,
  ),
);
const impureRule = file('src/features/diagnosis/why-jobs.ts', 'export const use = () => [Date.now()];\n');
const fetching = file('workers/adapters/fetching.ts', "export const use = async () => [await fetch('http://x')];\n");
const readsEnvironment = file('src/http/environment.ts', ENVIRONMENT);
const configuration = file('src/config/config.ts', ENVIRONMENT);
const forgetful = file(
  'src/engine/forgetful.ts',
  'async function work(): Promise<void> {}\nexport function begin(): void {\n  work();\n}\n',
);

beforeAll(() => {
  cpSync(path.join(projectRoot(), 'biome.json'), path.join(folder, 'biome.json'));
  for (const [name, text] of files) {
    mkdirSync(path.dirname(path.join(folder, name)), { recursive: true });
    writeFileSync(path.join(folder, name), text);
  }
  const biome = path.join(projectRoot(), 'node_modules/@biomejs/biome/bin/biome');
  const { stdout } = spawnSync(process.execPath, [biome, 'lint', '--reporter=json', '--max-diagnostics=none'], {
    cwd: folder,
    encoding: 'utf8',
  });
  const { diagnostics } = JSON.parse(stdout) as {
    diagnostics: Array<{ category: string; location: { path: string | { file: string } } }>;
  };
  for (const { category, location } of diagnostics) {
    const name = typeof location.path === 'string' ? location.path : location.path.file;
    findings.set(name, [...found(name), category.split('/').at(-1) ?? '']);
  }
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test.each(forbidden)('$layer may not import $module', ({ name }) => {
  expect(found(name)).toEqual(['noRestrictedImports']);
});

test.each(allowed)('$layer may import $module', ({ name }) => {
  expect(found(name)).toEqual([]);
});

test.each(featureImports)('$what', ({ name, isAllowed }) => {
  expect(found(name)).toEqual(isAllowed ? [] : ['noRestrictedImports']);
});

test('types, re-exports and dynamic imports count as imports', () => {
  for (const name of otherWays) expect(found(name), name).toContain('noRestrictedImports');
});

test('no two files import each other, types counted', () => {
  for (const name of circle) expect(found(name), name).toContain('noImportCycles');
});

test.each(impure)('the domain may not use $expression', ({ name }) => {
  expect(found(name)).toEqual(['noRestrictedGlobals']);
});

test('rules of a feature that lie beside its domain.ts are as pure', () => {
  expect(found(impureRule)).toEqual(['noRestrictedGlobals']);
});

test('an adapter may not fetch past the outbound policy', () => {
  expect(found(fetching)).toEqual(['noRestrictedGlobals']);
});

test('only the configuration reads the environment', () => {
  expect(found(readsEnvironment)).toEqual(['noProcessEnv']);
  expect(found(configuration)).toEqual([]);
});

test('a promise that nobody owns is found', () => {
  expect(found(forgetful)).toEqual(['noFloatingPromises']);
});
