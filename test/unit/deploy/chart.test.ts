/** The chart installs what deploy/ does, and its values change what they say. */

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { type Manifest, renderKustomization } from '../../../scripts/kustomize.ts';
import { renderChart } from '../../support/helm-template.ts';
import { kubernetesManifest } from '../../support/kubernetes-schemas.ts';

const CHART = path.join('deploy', 'helm', 'orchestrator');
const WITH_OPERATORS = { serviceMonitor: { enabled: true }, queueDepth: { enabled: true } };

const rendered = (values = {}) => renderChart(CHART, values).map((document) => kubernetesManifest.parse(document));

test.each([
  ['base', {}],
  ['overlays/staging', WITH_OPERATORS],
])('with the values of %s it has the same objects', (name, values) => {
  const fromChart = rendered(values).map((one) => plain(one as Manifest));
  expect(sorted(fromChart)).toEqual(sorted(renderKustomization(path.join('deploy', name)).map(plain)));
});

test('its version is that of the package, which is the tag of the image', () => {
  const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
  expect(parse(readFileSync(path.join(CHART, 'Chart.yaml'), 'utf8'))).toMatchObject({ version, appVersion: version });
  const images = JSON.stringify(rendered()).match(/"image":"[^"]+"/g);
  expect(new Set(images)).toEqual(new Set([`"image":"bullmq-orchestrator:${version}"`]));
});

test('values choose the image, the secret, the settings and the pools', () => {
  const pool = { name: 'llm', pool: 'llm', lanes: ['wait'], autoscaling: { minReplicas: 1, maxReplicas: 3 } };
  const documents = rendered({
    image: { repository: 'registry.local/orchestrator', tag: '9' },
    secretName: 'other-secrets',
    config: { PORT: '8000' },
    workers: [{ ...pool, resources: { requests: { cpu: '1', memory: '1Gi' }, limits: { memory: '1Gi' } } }],
  });
  const text = JSON.stringify(documents);
  expect(text).not.toContain('orchestrator-secrets');
  expect(text).toContain('other-secrets');
  expect(text).not.toContain('10001');
  const deployments = documents.filter(({ kind }) => kind === 'Deployment');
  expect(deployments.map(({ metadata }) => metadata.name)).toEqual(['orchestrator', 'llm']);
  expect(text.match(/"image":"[^"]+"/g)).toEqual(Array(3).fill('"image":"registry.local/orchestrator:9"'));
  expect(text).toContain('{"name":"WORKER_LANES","value":"wait"}');
});

test('a change of a setting replaces the pods of the API and of the workers', () => {
  const checksums = (config: Record<string, string>) =>
    rendered({ config }).flatMap((one) =>
      one.kind === 'Deployment' ? [one.spec.template.metadata.annotations?.['checksum/config']] : [],
    );
  const [before, after] = [checksums({}), checksums({ LOG_LEVEL: 'debug' })];
  expect(before).toHaveLength(3);
  expect(new Set([...before, ...after]).size).toBe(2);
  expect(after[0]).not.toBe(before[0]);
});

test('the migration runs before an installation and before an upgrade', () => {
  const job = rendered().find(({ kind }) => kind === 'Job');
  expect(job?.metadata.annotations).toEqual({
    'helm.sh/hook': 'pre-install,pre-upgrade',
    'helm.sh/hook-delete-policy': 'before-hook-creation',
  });
});

const hasHelm = spawnSync('helm', ['version'], { stdio: 'ignore' }).status === 0;
test(hasHelm ? 'helm renders it alike' : 'helm is not here: the chart is rendered by the other tests only', () => {
  expect(rendered(WITH_OPERATORS).length).toBeGreaterThan(10);
  if (!hasHelm) return;
  const flags = ['--set', 'serviceMonitor.enabled=true,queueDepth.enabled=true'];
  const { status, stdout, stderr } = spawnSync('helm', ['template', 'x', CHART, ...flags], { encoding: 'utf8' });
  expect(status, stderr).toBe(0);
  const documents = parseAllDocuments(stdout).map((document) => document.toJS() as Manifest);
  expect(sorted(documents.map(plain))).toEqual(sorted(rendered(WITH_OPERATORS).map((one) => plain(one as Manifest))));
});

/** Without what differs on purpose: the namespace, the digest of the settings, the hook. */
function plain(manifest: Manifest): Manifest {
  return JSON.parse(JSON.stringify(manifest), (key, value) => {
    if (['namespace', 'checksum/config', 'helm.sh/hook', 'helm.sh/hook-delete-policy'].includes(key)) return undefined;
    if (key === 'annotations' && Object.keys(value).length === 0) return undefined;
    return typeof value === 'string' ? value.replace(/^(orchestrator-config)-[a-z0-9]{10}$/, '$1') : value;
  }) as Manifest;
}

function sorted(manifests: readonly Manifest[]): Manifest[] {
  const key = ({ kind, metadata }: Manifest) => `${kind} ${metadata.name}`;
  return manifests.toSorted((one, other) => key(one).localeCompare(key(other)));
}
