/** gRPC: the contracts in contracts/*.proto, by gRPC, gRPC-Web and Connect, on the port of the API. */
import type { Feature } from '../../feature.ts';

export const grpc: Feature = { name: 'grpc', api: async () => (await import('./api.ts')).api };
