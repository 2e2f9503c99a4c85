/** What an API process has of it. */
import { featureApi } from '../../feature.ts';
import { createHttpCalls } from './http-calls.ts';
import { createReadiness } from './readiness.ts';
import { createRouter } from './router.ts';
import { createRpcProtocol } from './serve-rpc.ts';

export const api = featureApi([], ({ config, inside, limits }) => {
  const calls = createHttpCalls(inside);
  const readiness = createReadiness(calls);
  const handlers = createRouter({ calls, readiness, limits }, config.bodyLimitBytes);
  return {
    hooks: {
      protocol: createRpcProtocol(handlers, config),
      stop: readiness.drain,
    },
  };
});
