/** What an API process has of it. */
import { featureApi } from '../../feature.ts';
import { peersOf } from './assemble.ts';
import { peerRoutes } from './routes.ts';

export const api = featureApi([peerRoutes], ({ config, everyTenant }) => ({ peers: peersOf(config, everyTenant) }));
