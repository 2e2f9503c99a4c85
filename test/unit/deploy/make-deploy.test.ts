/** `make deploy` with a kubectl that writes its calls down; where there is no make, the script that it runs. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { renderKustomization } from '../../../scripts/kustomize.ts';

const HAS_MAKE = spawnSync('make', ['--version'], { stdio: 'ignore' }).status === 0;
const BUILT = path.join('deploy', '.build');

/** Its state is what is in `folder`: `missing` names what is not there, `job` says how the Job ends. */
const KUBECTL = `#!/bin/sh
folder=$(dirname "$0")
echo "$*" >>"$folder/calls"
case "$*" in
  'get namespace/'*) ! grep -qs namespace "$folder/missing" ;;
  'get secret/'*) ! grep -qs secret "$folder/missing" ;;
  'get job/'*) cat "$folder/job" ;;
  'get deployments '*) printf 'deployment.apps/orchestrator\\ndeployment.apps/orchestrator-worker\\n' ;;
  'rollout status '*) ! grep -qs rollout "$folder/missing" ;;
esac
`;

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'kubectl-'));
  writeFileSync(path.join(folder, 'kubectl'), KUBECTL, { mode: 0o755 });
  writeFileSync(path.join(folder, 'job'), 'SuccessCriteriaMet Complete');
});
afterEach(() => {
  rmSync(folder, { recursive: true });
  rmSync(BUILT, { recursive: true, force: true });
});

function deploy(settings: Record<string, string>) {
  const [program, args] = HAS_MAKE
    ? ['make', ['-C', 'deploy', 'deploy', ...Object.entries(settings).map(([name, value]) => `${name}=${value}`)]]
    : ['sh', ['deploy/deploy.sh', 'deploy']];
  const { PATH = '' } = process.env;
  const { status, stdout, stderr } = spawnSync(program, args, {
    encoding: 'utf8',
    env: { PATH: `${folder}:${PATH}`, ...settings },
  });
  const file = path.join(folder, 'calls');
  const calls = existsSync(file) ? readFileSync(file, 'utf8').trimEnd().split('\n') : [];
  return { ok: status === 0, output: stdout + stderr, calls };
}

const missing = (...what: string[]) => writeFileSync(path.join(folder, 'missing'), what.join('\n'));

test('the migration runs to its end before anything else is installed, then every Deployment is waited for', () => {
  const { ok, output, calls } = deploy({ ENV: 'prod', IMAGE_TAG: '1.2.3', NAMESPACE: 'workflows' });
  expect(ok, output).toBe(true);
  expect(calls).toEqual([
    'get namespace/workflows',
    'get secret/orchestrator-secrets -n workflows',
    'delete job/orchestrator-migrate -n workflows --ignore-not-found --wait=true',
    'apply -k .build/prod -l app.kubernetes.io/component=migrate',
    'get job/orchestrator-migrate -n workflows -o jsonpath={.status.conditions[?(@.status=="True")].type}',
    'apply -k .build/prod',
    'get deployments -n workflows -l app.kubernetes.io/name=orchestrator -o name',
    'rollout status deployment.apps/orchestrator -n workflows --timeout=900s',
    'rollout status deployment.apps/orchestrator-worker -n workflows --timeout=900s',
  ]);
});

test('what is applied has the tag and the namespace that were named, and only the Job the label of the first step', () => {
  const { ok, output } = deploy({
    ENV: 'prod',
    IMAGE: 'registry.local:5000/orchestrator',
    IMAGE_TAG: '1.2.3',
    NAMESPACE: 'workflows',
  });
  expect(ok, output).toBe(true);
  const resources = renderKustomization(path.join(BUILT, 'prod'));
  expect(new Set(resources.map(({ metadata }) => metadata.namespace))).toEqual(new Set(['workflows']));
  const images = JSON.stringify(resources).match(/"image":"[^"]+"/g);
  expect(new Set(images)).toEqual(new Set(['"image":"registry.local:5000/orchestrator:1.2.3"']));
  const first = resources.filter(({ metadata }) => metadata.labels?.['app.kubernetes.io/component'] === 'migrate');
  expect(first.map(({ kind }) => kind)).toEqual(['Job']);
});

test('without a namespace that of the environment is used, and made where it is missing', () => {
  missing('namespace');
  const { ok, output, calls } = deploy({ ENV: 'dev', IMAGE_TAG: '1.2.3' });
  expect(ok, output).toBe(true);
  expect(calls.slice(0, 2)).toEqual(['get namespace/somaagent-dev', 'create namespace somaagent-dev']);
});

test('a migration that fails changes nothing else, and its log is shown', () => {
  writeFileSync(path.join(folder, 'job'), 'FailureTarget Failed');
  const { ok, output, calls } = deploy({ ENV: 'prod', IMAGE_TAG: '1.2.3' });
  expect(ok).toBe(false);
  expect(output).toContain('the migration failed');
  expect(calls.at(-1)).toBe('logs job/orchestrator-migrate -n somaagent --tail=50');
  expect(calls).not.toContain('apply -k .build/prod');
});

test('a migration that does not end changes nothing else', () => {
  writeFileSync(path.join(folder, 'job'), '');
  const { ok, output, calls } = deploy({ ENV: 'prod', IMAGE_TAG: '1.2.3', MIGRATION_TIMEOUT: '0' });
  expect(ok).toBe(false);
  expect(output).toContain('has not ended within 0 s');
  expect(calls).not.toContain('apply -k .build/prod');
});

test('a Deployment that is not replaced is a failure', () => {
  missing('rollout');
  expect(deploy({ ENV: 'prod', IMAGE_TAG: '1.2.3' }).ok).toBe(false);
});

test('without the secret nothing is changed', () => {
  missing('secret');
  const { ok, output, calls } = deploy({ ENV: 'prod', IMAGE_TAG: '1.2.3' });
  expect(ok).toBe(false);
  expect(output).toContain('orchestrator-secrets is missing in somaagent');
  expect(calls).toEqual(['get namespace/somaagent', 'get secret/orchestrator-secrets -n somaagent']);
});

test.each([
  [{ ENV: 'prod' }, 'IMAGE_TAG is missing'],
  [{ ENV: 'nowhere', IMAGE_TAG: '1' }, 'ENV must be one of dev prod staging'],
  [{ ENV: '../overlays/dev', IMAGE_TAG: '1' }, 'ENV must be one of'],
  [{ ENV: 'dev', IMAGE_TAG: '1:2' }, "'1:2' is no tag"],
  [{ ENV: 'dev', IMAGE_TAG: '1', NAMESPACE: 'No Name' }, "'No Name' is no name of a namespace"],
  [{ ENV: 'dev', IMAGE_TAG: '1', IMAGE: "a' x" }, 'is no name of an image'],
])('%j is rejected before the cluster is asked anything', (settings, message) => {
  const { ok, output, calls } = deploy(settings);
  expect(ok).toBe(false);
  expect(output).toContain(message);
  expect(calls).toEqual([]);
});

test('the Makefiles have the targets of the older services, and those that run npm scripts have a script of that name', () => {
  const targets = (file: string) => /^\.PHONY: (.+)$/m.exec(readFileSync(file, 'utf8'))?.[1]?.split(' ');
  expect(targets('deploy/Makefile')).toEqual(['deploy', 'validate', 'clean']);
  const { scripts } = JSON.parse(readFileSync('package.json', 'utf8')) as { scripts: Record<string, string> };
  const own = targets('Makefile') ?? [];
  expect(own).toEqual(expect.arrayContaining(['dev-up', 'test-e2e', 'dev', 'test', 'lint', 'migrate']));
  expect(own.filter((name) => !Object.hasOwn(scripts, name))).toEqual([]);
});
