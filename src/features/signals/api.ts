/** What an API process has of it. */
import { featureApi } from '../../feature.ts';
import { signalsOf } from './assemble.ts';
import { signalRoutes } from './routes.ts';

export const api = featureApi([signalRoutes], (parts) => ({
  signals: signalsOf({ ...parts, texts: parts.expressions }),
}));
