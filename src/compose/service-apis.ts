/** The OpenAPI documents of services, for a worker and for the doors. */
import type pg from 'pg';
import type { Config } from '../config.ts';
import type { WorkflowStore } from '../engine/read-models.ts';
import { refusingUnknownOperations } from '../engine/refuse-unknown-operations.ts';
import type { ServiceStore } from '../engine/registry-ports.ts';
import {
  createServiceApiReader,
  createServiceApis,
  type ServiceApiDeps,
  type ServiceApiReader,
  type ServiceApis,
} from '../engine/service-apis.ts';
import type { TextChecker } from '../engine/with-checks.ts';
import { createServiceApiStore } from '../store/service-apis.ts';

type Sources = [config: Pick<Config, 'services'>, pool: pg.Pool, services: Pick<ServiceStore, 'find' | 'list'>];

export function serviceApisOf(texts: TextChecker, ...sources: Sources): ServiceApis {
  return createServiceApis({ ...depsOf(...sources), texts });
}

export function serviceApiReaderOf(...sources: Sources): ServiceApiReader {
  return createServiceApiReader(depsOf(...sources));
}

/** The keeping of workflows, with a look at the operations that they call. */
export function checkingOperations<Store extends Pick<WorkflowStore, 'create' | 'update'>>(
  workflows: Store,
  config: Pick<Config, 'services'>,
  pool: pg.Pool,
): Store {
  const { operationIds } = createServiceApiStore(pool);
  return refusingUnknownOperations(workflows, { operationIds, configured: new Map(Object.entries(config.services)) });
}

function depsOf(...[config, pool, services]: Sources): Omit<ServiceApiDeps, 'texts'> {
  return { store: createServiceApiStore(pool), services, configured: new Map(Object.entries(config.services)) };
}
