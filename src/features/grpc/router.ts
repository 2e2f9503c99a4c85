/** All services that are served, as handlers by their paths. */
import { createConnectRouter } from '@connectrpc/connect';
import type { UniversalHandler } from '@connectrpc/connect/protocol';
import type { ApiLimits } from '../../http/middleware/limits.ts';
import { file_grpc_health_v1_health } from './generated/grpc/health/v1/health_pb.ts';
import { file_grpc_reflection_v1_reflection } from './generated/grpc/reflection/v1/reflection_pb.ts';
import { file_grpc_reflection_v1alpha_reflection } from './generated/grpc/reflection/v1alpha/reflection_pb.ts';
import { file_health } from './generated/health_pb.ts';
import { file_info } from './generated/info_pb.ts';
import { file_orchestrator } from './generated/orchestrator_pb.ts';
import { healthServices } from './health.ts';
import type { HttpCalls } from './http-calls.ts';
import { infoService } from './info.ts';
import type { Readiness } from './readiness.ts';
import { reflectionServices } from './reflection.ts';
import { toolService } from './tools.ts';
import { workflowService } from './workflows.ts';

export const FILES = [
  file_health,
  file_info,
  file_orchestrator,
  file_grpc_health_v1_health,
  file_grpc_reflection_v1_reflection,
  file_grpc_reflection_v1alpha_reflection,
];

export interface RouterDeps {
  calls: HttpCalls;
  readiness: Readiness;
  limits: Pick<ApiLimits, 'streams' | 'addressOf'>;
}

export function createRouter({ calls, readiness, limits }: RouterDeps, maxBytes: number): UniversalHandler[] {
  // A compressed body is not taken, as by the HTTP API.
  const router = createConnectRouter({ readMaxBytes: maxBytes, acceptCompression: [] });
  const services = new Set(FILES.flatMap((file) => file.services.map(({ typeName }) => typeName)));
  healthServices(router, { readiness, limits, services });
  infoService(router, calls);
  workflowService(router, calls);
  toolService(router, calls);
  reflectionServices(router, calls, FILES);
  return router.handlers;
}
