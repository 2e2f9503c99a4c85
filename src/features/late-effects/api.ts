/** What an API process has of it. */
import { featureApi } from '../../feature.ts';
import { createLateEffectReader } from '../../store/views/late-effects.ts';
import { lateEffectRoutes } from './routes.ts';

export const api = featureApi([lateEffectRoutes], ({ pool }) => ({ lateEffects: createLateEffectReader(pool) }));
