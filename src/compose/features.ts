/** The one list of features. Whoever deletes one takes its line away; nothing else of the house names it. */
import { type Catalogue, createCatalogue } from '../../workers/catalogue.ts';
import { SHIPPED_ADAPTERS } from '../../workers/shipped-adapters.ts';
import type { Config } from '../config/config.ts';
import type { Cause } from '../domain/health/why-causes.ts';
import type { ApiHooks, Feature, FeatureApi, FeatureWorker, TenantTables, WhyWaiting } from '../feature.ts';
import { access } from '../features/access/index.ts';
import { approvals } from '../features/approvals/index.ts';
import { audit } from '../features/audit/index.ts';
import { bulk } from '../features/bulk/index.ts';
import { diagnosis } from '../features/diagnosis/index.ts';
import { erasure } from '../features/erasure/index.ts';
import { events } from '../features/events/index.ts';
import { externalWorkers } from '../features/external-workers/index.ts';
import { failures } from '../features/failures/index.ts';
import { flowRunner } from '../features/flow-runner/index.ts';
import { grpc } from '../features/grpc/index.ts';
import { history } from '../features/history/index.ts';
import { identity } from '../features/identity/index.ts';
import { kubernetes } from '../features/kubernetes/index.ts';
import { lateEffects } from '../features/late-effects/index.ts';
import { manualCompletion } from '../features/manual-completion/index.ts';
import { peers } from '../features/peers/index.ts';
import { platform } from '../features/platform/index.ts';
import { policy } from '../features/policy/index.ts';
import { runLogs } from '../features/run-logs/index.ts';
import { sagas } from '../features/sagas/index.ts';
import { schedules } from '../features/schedules/index.ts';
import { search } from '../features/search/index.ts';
import { secrets } from '../features/secrets/index.ts';
import { serviceApis } from '../features/service-apis/index.ts';
import { services } from '../features/services/index.ts';
import { sessions } from '../features/sessions/index.ts';
import { signals } from '../features/signals/index.ts';
import { statistics } from '../features/statistics/index.ts';
import { templates } from '../features/templates/index.ts';
import { tracing } from '../features/tracing/index.ts';
import { versions } from '../features/versions/index.ts';
import { webhooks } from '../features/webhooks/index.ts';
import { weights } from '../features/weights/index.ts';
import { TRUNK_ROUTES } from '../http/routes/trunk.ts';
import { docsRoutes } from '../http/server/docs.ts';
import type { Endpoints, Operation } from '../http/server/operation.ts';

export const FEATURES: readonly Feature[] = [
  access,
  approvals,
  audit,
  bulk,
  diagnosis,
  erasure,
  events,
  externalWorkers,
  failures,
  flowRunner,
  grpc,
  history,
  identity,
  kubernetes,
  lateEffects,
  manualCompletion,
  peers,
  platform,
  policy,
  runLogs,
  sagas,
  schedules,
  search,
  secrets,
  serviceApis,
  services,
  sessions,
  signals,
  statistics,
  templates,
  tracing,
  versions,
  webhooks,
  weights,
];

/** What all features bring that every process knows of. */
export type Brought = ReturnType<typeof broughtBy>;

export function broughtBy(features: readonly Feature[], config: Config) {
  const systemWorkflows = features.flatMap(({ systemWorkflows: own = [] }) =>
    typeof own === 'function' ? own(config) : own,
  );
  return { ...declaredBy(features), systemWorkflows };
}

/** What does not depend on settings. */
export function declaredBy(features: readonly Feature[]) {
  const adapters = features.flatMap((feature) => feature.adapters ?? []);
  // The child of isolated adapters knows the trunk's alone.
  const apart = adapters.find(({ usesEngine }) => usesEngine !== true);
  if (apart !== undefined) throw new Error(`${apart.type}: the adapters of features run where the engine is`);
  const tables: TenantTables = Object.assign({}, ...features.map((feature) => feature.tables));
  return {
    ...{ adapters, tables },
    waitCauses: features.flatMap((feature) => feature.waitCauses ?? []),
  };
}

/** What at most one feature offers. */
export function offered<Part extends object, Name extends keyof Part>(
  parts: readonly Part[],
  name: Name,
): Part[Name] | undefined {
  const [first, another] = parts.filter((part) => part[name] !== undefined);
  if (another !== undefined) throw new Error(`two features offer ${String(name)}`);
  return first?.[name];
}

/** Of all that say why tasks wait: of two that know it the first. */
export async function whyWaiting(
  parts: readonly ApiHooks[],
  ...[run, actionIds]: Parameters<WhyWaiting>
): Promise<Map<string, Cause>> {
  const found = await Promise.all(parts.map((part) => part.whyWaiting?.(run, actionIds)));
  return new Map(found.toReversed().flatMap((causes) => [...(causes ?? [])]));
}

/** All action types that are shipped. */
export function shippedCatalogue(): Catalogue {
  return createCatalogue([...SHIPPED_ADAPTERS, ...declaredBy(FEATURES).adapters]);
}

/** What each has in an API process. */
export async function apisOf(features: readonly Feature[] = FEATURES): Promise<FeatureApi[]> {
  const loaded = await Promise.all(features.map(async ({ api }) => api?.()));
  return loaded.filter((one) => one !== undefined);
}

/** What each has in a worker. */
export async function workersOf(features: readonly Feature[] = FEATURES): Promise<FeatureWorker[]> {
  const loaded = await Promise.all(features.map(async ({ worker }) => worker?.()));
  return loaded.filter((one) => one !== undefined);
}

/** All that an API serves but for the pages that describe it, in the order of the OpenAPI document. */
export async function endpointsOf(features: readonly Feature[] = FEATURES): Promise<ReadonlyArray<Endpoints<never>>> {
  const apis = await apisOf(features);
  return [...TRUNK_ROUTES, ...apis.flatMap((api) => api.endpoints)];
}

/** All operations of an API, in the order of the OpenAPI document. */
export async function operationsOf(features: readonly Feature[] = FEATURES): Promise<readonly Operation[]> {
  return [...(await endpointsOf(features)), docsRoutes].flatMap(({ operations }) => operations);
}
