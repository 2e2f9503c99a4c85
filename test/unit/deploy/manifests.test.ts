/** What deploy/ renders to is what Kubernetes takes, fits together, and is as the documents promise. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { renderKustomization } from '../../../scripts/kustomize.ts';
import { plainRendering, RENDERINGS } from '../../../scripts/manifests.ts';
import { operationsOf, shippedCatalogue } from '../../../src/compose/features.ts';
import type { Setting } from '../../../src/config/settings/setting.ts';
import { VARIABLES } from '../../../src/config/variables.ts';
import { isProbe } from '../../../src/http/server/probes.ts';
import { type KubernetesManifest, kubernetesManifest, type ManifestOf } from '../../support/kubernetes-schemas.ts';

const SECRET = 'orchestrator-secrets';
const GATEWAY = { 'app.kubernetes.io/name': 'gateway' };
const PROMETHEUS = { 'app.kubernetes.io/name': 'prometheus' };
const ENVIRONMENTS = ['base', 'overlays/dev', 'overlays/staging', 'overlays/prod'];
const operations = await operationsOf();

type Kind = KubernetesManifest['kind'];
type Workload = ManifestOf<'Deployment'> | ManifestOf<'Job'>;

function renderingOf(name: string) {
  const all = renderKustomization(`deploy/${name}`).map((document) => kubernetesManifest.parse(document));
  const of = <K extends Kind>(kind: K) =>
    all.filter((one): one is KubernetesManifest & ManifestOf<K> => one.kind === kind);
  const workloads: Workload[] = [...of('Deployment'), ...of('Job')];
  return { all, of, workloads };
}

const containerOf = ({ spec }: Workload) => spec.template.spec.containers[0] ?? expect.fail('no container');
const fits = (labels: Record<string, string>, selector: Record<string, string>) =>
  Object.entries(selector).every(([key, value]) => labels[key] === value);
const names = (manifests: ReadonlyArray<{ metadata: { name: string } }>) =>
  manifests.map(({ metadata }) => metadata.name);

describe.each(ENVIRONMENTS)('%s', (name) => {
  const { all, of, workloads } = renderingOf(name);
  const deployments = of('Deployment');

  test('has the API, workers for every lane and the migration, in one namespace', () => {
    expect(deployments.length).toBeGreaterThanOrEqual(2);
    expect(names(of('Job'))).toEqual(['orchestrator-migrate']);
    expect(new Set(all.map(({ metadata }) => metadata.namespace)).size).toBe(1);
    const programs = workloads.map((workload) => containerOf(workload).command.join(' '));
    expect(new Set(programs)).toEqual(
      new Set(['node dist/bin/api.js', 'node dist/bin/worker.js', 'node dist/bin/migrate.js']),
    );
    const lanes = deployments.flatMap((one) => valuesOf(containerOf(one), 'WORKER_LANES'));
    expect(lanes).toContain('all');
    const known = shippedCatalogue().names();
    expect(lanes.flatMap((list) => list.split(',')).filter((lane) => lane !== 'all' && !known.includes(lane))).toEqual(
      [],
    );
  });

  test('has no secret, and names those that are there by reference', () => {
    const settings = all.flatMap((one) => (one.kind === 'ConfigMap' ? Object.keys(one.data) : []));
    const given = workloads.flatMap((one) =>
      (containerOf(one).env ?? []).flatMap((env) => ('value' in env ? [env.name] : [])),
    );
    for (const setting of [...settings, ...given]) {
      const known: Setting | undefined = VARIABLES[setting as keyof typeof VARIABLES];
      expect(known, `${setting} is a setting`).toBeDefined();
      expect(known?.secret, `${setting} belongs into the secret`).toBeUndefined();
    }
    for (const workload of workloads) {
      const { env = [], envFrom = [] } = containerOf(workload);
      const secrets = [
        ...env.flatMap((one) => ('valueFrom' in one ? [one.valueFrom.secretKeyRef.name] : [])),
        ...envFrom.flatMap((one) => ('secretRef' in one ? [one.secretRef.name] : [])),
      ];
      expect(new Set(secrets)).toEqual(new Set([SECRET]));
      const configs = envFrom.flatMap((one) => ('configMapRef' in one ? [one.configMapRef.name] : []));
      expect(configs.filter((config) => !names(of('ConfigMap')).includes(config))).toEqual([]);
    }
  });

  test('selects by labels what is there, and each Deployment only its own pods', () => {
    const pods = workloads.map(({ metadata, spec }) => ({ of: metadata.name, ...spec.template }));
    for (const { metadata, spec } of deployments) {
      const selected = pods.filter((pod) => fits(pod.metadata.labels, spec.selector.matchLabels));
      expect(selected.map((pod) => pod.of)).toEqual([metadata.name]);
      for (const rule of spec.template.spec.affinity?.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution ??
        []) {
        expect(rule.podAffinityTerm.topologyKey).toBe('kubernetes.io/hostname');
        expect(rule.podAffinityTerm.labelSelector).toEqual(spec.selector);
      }
    }
    for (const { metadata, spec } of of('Service')) {
      const selected = pods.filter((pod) => fits(pod.metadata.labels, spec.selector));
      expect(selected.length, metadata.name).toBeGreaterThan(0);
      for (const pod of selected) {
        const ports = pod.spec.containers.flatMap((container) => container.ports ?? []);
        for (const { port, targetPort } of spec.ports) {
          expect(ports).toContainEqual({ name: targetPort, containerPort: port, protocol: 'TCP' });
        }
      }
    }
    for (const { metadata, spec } of [...of('PodDisruptionBudget'), ...of('NetworkPolicy')]) {
      const { matchLabels } = 'selector' in spec ? spec.selector : spec.podSelector;
      expect(pods.filter((pod) => fits(pod.metadata.labels, matchLabels)).length, metadata.name).toBeGreaterThan(0);
    }
  });

  test('every pod has a policy that lets only the gateway and Prometheus in', () => {
    for (const { spec } of workloads) {
      const { labels } = spec.template.metadata;
      const policies = of('NetworkPolicy').filter((policy) => fits(labels, policy.spec.podSelector.matchLabels));
      expect(policies).toHaveLength(1);
      const peers = policies.flatMap((policy) => policy.spec.ingress ?? []).flatMap(({ from }) => from);
      const isApi = labels['app.kubernetes.io/component'] === 'api';
      const isWorker = labels['app.kubernetes.io/component'] === 'worker';
      const prometheus = {
        namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'monitoring' } },
        podSelector: { matchLabels: PROMETHEUS },
      };
      expect(peers).toEqual([
        ...(isApi ? [{ podSelector: { matchLabels: GATEWAY } }] : []),
        ...(isApi || isWorker ? [prometheus] : []),
      ]);
    }
  });

  test('probes are paths that API and workers have, on the port that they listen on', () => {
    const [config] = of('ConfigMap');
    for (const deployment of deployments) {
      const { livenessProbe, readinessProbe, ports = [], command } = containerOf(deployment);
      expect(livenessProbe?.httpGet.path).toBe('/livez');
      expect(readinessProbe?.httpGet.path).toBe('/ready');
      expect(livenessProbe).toMatchObject({ initialDelaySeconds: 30, periodSeconds: 10 });
      expect(readinessProbe).toMatchObject({ initialDelaySeconds: 10, periodSeconds: 5 });
      const setting = command.includes('dist/bin/api.js') ? 'PORT' : 'WORKER_PORT';
      for (const probe of [livenessProbe, readinessProbe]) {
        const port = ports.find((one) => one.name === probe?.httpGet.port);
        expect(config?.data[setting]).toBe(String(port?.containerPort));
      }
    }
    for (const path of ['/livez', '/ready']) {
      expect(isProbe(path)).toBe(true);
      expect(operations.find((one) => one.path === path)?.permission).toBe('public');
    }
  });

  test('pods are given longer to end than the tasks in them', () => {
    const [config] = of('ConfigMap');
    // What `stop` may take beyond the grace of the tasks, and the seconds before.
    const needed = Number(config?.data['SHUTDOWN_GRACE_SECONDS']) + 15;
    for (const { spec } of deployments) {
      expect(spec.template.spec.terminationGracePeriodSeconds).toBeGreaterThanOrEqual(needed);
    }
  });

  test('what an autoscaler scales has no number of its own, and everything is scaled by exactly one', () => {
    const targets = [...of('HorizontalPodAutoscaler'), ...of('ScaledObject')].map(
      ({ spec }) => spec.scaleTargetRef.name,
    );
    expect(targets.sort()).toEqual(names(deployments).sort());
    expect(deployments.filter(({ spec }) => spec.replicas !== undefined)).toEqual([]);
  });

  test('the migration knows the database and the queue and nothing else, and has no account', () => {
    const [job] = of('Job');
    expect(job?.spec.template.spec.serviceAccountName).toBeUndefined();
    const { env = [], envFrom } = containerOf(job ?? expect.fail('no job'));
    expect(env.map((one) => one.name)).toEqual(['DATABASE_URL', 'REDIS_URL']);
    expect(envFrom).toBeUndefined();
  });
});

describe.each(['overlays/staging', 'overlays/prod'])('%s', (name) => {
  const { of } = renderingOf(name);

  test('is scraped with METRICS_TOKEN, the API and every worker', () => {
    const monitor = of('ServiceMonitor')[0] ?? expect.fail('no monitor');
    const services = of('Service').filter(({ metadata }) =>
      fits(metadata.labels ?? {}, monitor.spec.selector.matchLabels),
    );
    const ports = services.flatMap(({ spec }) => spec.ports.map((port) => port.name));
    expect(monitor.spec.endpoints.map(({ port }) => port).sort()).toEqual(ports.sort());
    for (const { path, authorization } of monitor.spec.endpoints) {
      expect(path).toBe('/metrics');
      expect(authorization.credentials).toEqual({ name: SECRET, key: 'METRICS_TOKEN' });
    }
    expect(Object.keys(VARIABLES)).toContain('METRICS_TOKEN');
  });

  test('scales workers by the depth of the lanes that they serve', () => {
    for (const deployment of of('Deployment')) {
      const [lanes] = valuesOf(containerOf(deployment), 'WORKER_LANES');
      if (lanes === undefined) continue;
      const scaled = of('ScaledObject').find(({ spec }) => spec.scaleTargetRef.name === deployment.metadata.name);
      const query = scaled?.spec.triggers[0]?.metadata.query;
      const filter = lanes === 'all' ? '' : `,lane=~"${lanes.replaceAll(',', '|')}"`;
      expect(query).toBe(`sum(max by (lane) (orchestrator_lane_jobs{state="waiting"${filter}}))`);
    }
  });
});

describe('the plain renderings', () => {
  test.each(RENDERINGS)('%s is what `npm run manifests` writes', (file) => {
    expect(readFileSync(file, 'utf8')).toBe(plainRendering());
  });

  test('are as the older manifest: namespace, port, probes, volumes, affinity, account', () => {
    const { all, of } = renderingOf('base');
    expect(all.every(({ metadata }) => metadata.namespace === 'somaagent')).toBe(true);
    expect(of('ServiceAccount').map(({ metadata }) => metadata.name)).toEqual(['orchestrator']);
    const service = of('Service').find(({ metadata }) => metadata.name === 'orchestrator');
    expect(service?.spec).toMatchObject({ sessionAffinity: 'ClientIP', ports: [{ port: 10_001 }] });
    const scaler = of('HorizontalPodAutoscaler').find(({ metadata }) => metadata.name === 'orchestrator');
    expect(scaler?.spec.minReplicas).toBe(2);
    for (const { spec } of of('Deployment')) {
      const { metadata, spec: pod } = spec.template;
      expect(metadata.annotations).toMatchObject({ 'prometheus.io/scrape': 'true', 'prometheus.io/path': '/metrics' });
      const [container] = pod.containers;
      expect(container?.ports?.map((port) => String(port.containerPort))).toEqual([
        metadata.annotations?.['prometheus.io/port'],
      ]);
      expect(container?.volumeMounts.map(({ mountPath }) => mountPath)).toEqual(['/tmp', '/app/cache']);
      expect(pod.volumes.map((volume) => volume.name)).toEqual(container?.volumeMounts.map((mount) => mount.name));
      expect(pod.serviceAccountName).toBe('orchestrator');
      expect(pod.affinity).toBeDefined();
    }
  });
});

function valuesOf({ env = [] }: ReturnType<typeof containerOf>, name: string): string[] {
  return env.flatMap((one) => (one.name === name && 'value' in one ? [one.value] : []));
}
