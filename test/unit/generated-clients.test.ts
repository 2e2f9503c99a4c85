/** The contracts keep the rules of buf, and what is generated from them is what is committed. */
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { projectRoot } from '../../src/project-root.ts';

const ROOT = projectRoot();
const BUF = createRequire(import.meta.url).resolve('@bufbuild/buf/bin/buf');
const GENERATED = ['gen', 'src/features/grpc/generated'];
const COPIED = ['contracts', 'buf.yaml', 'buf.gen.yaml', 'scripts/generate-clients.mjs', 'src/features/grpc', 'gen'];

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'generated-'));
  for (const name of COPIED) cpSync(path.join(ROOT, name), path.join(folder, name), { recursive: true });
  symlinkSync(path.join(ROOT, 'node_modules'), path.join(folder, 'node_modules'), 'junction');
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** By their paths. Comments name the versions of the plugins, which are those that are installed. */
function filesBelow(root: string): Map<string, string> {
  const names = GENERATED.flatMap((name) =>
    readdirSync(path.join(root, name), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && !entry.parentPath.includes('__pycache__'))
      .map((entry) => path.relative(root, path.join(entry.parentPath, entry.name))),
  );
  const text = (name: string) => readFileSync(path.join(root, name), 'utf8').replaceAll(/^(?:\/\/|#).*\n/gm, '');
  return new Map(names.sort().map((name) => [name, text(name)]));
}

test('generating the clients again changes none of them', () => {
  const output = execFileSync(process.execPath, ['scripts/generate-clients.mjs'], { cwd: folder, encoding: 'utf8' });
  for (const line of output.split('\n').filter((one) => one !== '')) process.stdout.write(`${line}\n`);
  const [made, committed] = [filesBelow(folder), filesBelow(ROOT)];
  expect([...made.keys()]).toEqual([...committed.keys()]);
  for (const [name, text] of made) expect(text, name).toBe(committed.get(name));
});

test('the contracts keep the standard rules but for the exceptions, and each exception is needed', () => {
  const lint = (config: string) =>
    spawnSync(process.execPath, [BUF, 'lint', '--config', config, '.'], { cwd: folder, encoding: 'utf8' });
  const config = readFileSync(path.join(folder, 'buf.yaml'), 'utf8');
  expect(lint('buf.yaml')).toMatchObject({ status: 0, stdout: '' });
  const exceptions = [...config.matchAll(/^ {4}- ([A-Z_]+)\n/gm)].map(([line, rule]) => ({ line, rule }));
  const excepted = exceptions.filter(({ rule }) => rule !== 'STANDARD' && rule !== 'FILE');
  expect(excepted.length).toBeGreaterThan(0);
  for (const { line, rule = '' } of excepted) {
    writeFileSync(path.join(folder, 'without.yaml'), config.replace(line, ''));
    expect(lint('without.yaml').status, rule).not.toBe(0);
  }
});

test('the enum values, names and numbers that older clients rely on are there', () => {
  const [health, info, orchestrator] = ['health', 'info', 'orchestrator'].map((name) =>
    readFileSync(path.join(ROOT, `contracts/${name}.proto`), 'utf8'),
  );
  for (const value of ['UNKNOWN = 0', 'SERVING = 1', 'NOT_SERVING = 2', 'SERVICE_UNKNOWN = 3', 'string service = 1'])
    expect(health).toContain(value);
  const fields = [
    'service_name = 1',
    'version = 2',
    'description = 3',
    'build_time = 4',
    'commit_sha = 5',
    'metadata = 6',
  ];
  for (const field of fields) expect(info).toContain(field);
  const messages = [...(orchestrator ?? '').matchAll(/^message (\w+(Request|Response)) \{\n([\s\S]*?)^\}/gm)];
  expect(messages).toHaveLength(16);
  for (const [, name, kind, body = ''] of messages) {
    const old = kind === 'Request' ? ['request_id = 1'] : ['response_id = 1', 'bool success = 2', 'message = 3'];
    for (const field of old) expect(body, name).toContain(field);
    const numbers = [...body.matchAll(/ = (\d+);/g)].map(([, number]) => Number(number));
    expect(
      numbers.slice(old.length).every((number) => number >= 4),
      name,
    ).toBe(true);
  }
});
