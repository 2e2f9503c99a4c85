/** The OpenAPI documents of services, for a worker and for the API. */
import type { Config } from '../../config/config.ts';
import type { TextChecker } from '../../engine/accept/with-checks.ts';
import type { BeforeSaveWorkflow } from '../../engine/ports/definitions.ts';
import type { Clients } from '../../store/core/database.ts';
import type { ServiceStore } from '../services/ports.ts';
import { createOperationsCheck } from './check-operations.ts';
import {
  createServiceApiReader,
  createServiceApis,
  type ServiceApiDeps,
  type ServiceApiReader,
  type ServiceApis,
} from './poll-apis.ts';
import { createServiceApiStore } from './store.ts';

type Sources = [config: Pick<Config, 'services'>, clients: Clients, services: Pick<ServiceStore, 'find' | 'list'>];

export function serviceApisOf(texts: TextChecker, ...sources: Sources): ServiceApis {
  return createServiceApis({ ...depsOf(...sources), texts });
}

export function serviceApiReaderOf(...sources: Sources): ServiceApiReader {
  return createServiceApiReader(depsOf(...sources));
}

/** Rejects a definition that calls operations which are not in the document of their service. */
export function operationsCheckOf(config: Pick<Config, 'services'>, clients: Clients): BeforeSaveWorkflow {
  const { operationIds } = createServiceApiStore(clients);
  return createOperationsCheck({ operationIds, configured: new Map(Object.entries(config.services)) });
}

function depsOf(...[config, clients, services]: Sources): Omit<ServiceApiDeps, 'texts'> {
  return { store: createServiceApiStore(clients), services, configured: new Map(Object.entries(config.services)) };
}
