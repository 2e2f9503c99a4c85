import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { type Manifest, renderKustomization } from '../../../scripts/kustomize.ts';

const FOLDERS = ['base', 'overlays/dev', 'overlays/staging', 'overlays/prod'].map((name) => path.join('deploy', name));
const HEAD = 'apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n';
const A_JOB =
  'apiVersion: batch/v1\nkind: Job\nmetadata: { name: a }\nspec: { template: { spec: { containers: [{ name: c, image: x }], tolerations: [] } } }\n';

let folder: string | undefined;
afterEach(() => {
  if (folder !== undefined) rmSync(folder, { recursive: true });
  folder = undefined;
});

/** Renders a kustomization of these lines, beside a Job. */
function render(lines: string): Manifest[] {
  folder = mkdtempSync(path.join(tmpdir(), 'kustomize-'));
  writeFileSync(path.join(folder, 'kustomization.yaml'), HEAD + lines);
  writeFileSync(path.join(folder, 'job.yaml'), A_JOB);
  return renderKustomization(folder);
}

const patch = (text: string) =>
  `resources: [job.yaml]\npatches: [{ patch: '{ apiVersion: batch/v1, kind: Job, metadata: { name: a }, ${text} }' }]`;

test.each([
  ['a field of a kustomization', 'resources: []\nnamePrefix: x-', /namePrefix/],
  ['a field of a patch', 'patches: [{ path: a.yaml, target: { kind: Job } }]', /target/],
  ['a directive', patch('spec: { $patch: replace }'), /\$patch is not known here/],
  ['another directive', patch('$patch: replace'), /\$patch: replace is not known/],
  [
    'a list whose elements nothing tells apart',
    patch('spec: { template: { spec: { tolerations: [{ key: a }] } } }'),
    /list tolerations/,
  ],
  ['a resource twice', 'resources: [job.yaml, job.yaml]', /there twice/],
  ['a patch of what is not there', patch('spec: {}').replace('name: a', 'name: b'), /not there/],
  [
    'settings to merge with none',
    'configMapGenerator: [{ name: a, behavior: merge, literals: [A=1] }]',
    /no ConfigMap a/,
  ],
  ['a document without a name', "patches: [{ patch: 'kind: Job' }]", /metadata/],
  ['what is no YAML', "patches: [{ patch: '{' }]", /flow map|Flow map/i],
])('%s is rejected rather than left out', (_what, lines, message) => {
  expect(() => render(lines)).toThrow(message);
});

test('a patch changes what it names, removes what is null, and adds to lists that have names', () => {
  const [job] = render(
    patch(
      'spec: { backoffLimit: 1, template: { spec: { tolerations: null, containers: [{ name: c, tty: true }, { name: d }] } } }',
    ),
  );
  expect(job).toEqual({
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: { name: 'a' },
    spec: {
      backoffLimit: 1,
      template: { spec: { containers: [{ name: 'd' }, { name: 'c', image: 'x', tty: true }] } },
    },
  });
});

const hasKubectl = spawnSync('kubectl', ['kustomize', '--help'], { stdio: 'ignore' }).status === 0;
const compared = hasKubectl
  ? 'is rendered as kubectl renders it'
  : 'is rendered, and not compared: kubectl is not here';
test.each(FOLDERS)(`%s ${compared}`, { timeout: 60_000 }, (name) => {
  const rendered = renderKustomization(name);
  expect(rendered.length).toBeGreaterThan(10);
  if (!hasKubectl) return;
  const { status, stdout, stderr } = spawnSync('kubectl', ['kustomize', name], { encoding: 'utf8' });
  expect(status, stderr).toBe(0);
  const documents = parseAllDocuments(stdout).map((document) => document.toJS() as Manifest);
  expect(sorted(rendered)).toEqual(sorted(documents));
});

function sorted(manifests: readonly Manifest[]): Manifest[] {
  const key = ({ kind, metadata }: Manifest) => `${kind} ${metadata.name}`;
  return manifests.toSorted((one, other) => key(one).localeCompare(key(other)));
}
