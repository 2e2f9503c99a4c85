/** What a worker has of it: tasks get the secrets that they name. */
import type { FeatureWorker } from '../../feature.ts';
import { secretsOfTasks } from './assemble.ts';
import { SECRET_CHANNEL } from './store.ts';

export const worker: FeatureWorker = {
  open({ config, pool, prisma }) {
    const secrets = secretsOfTasks(config, { pool, prisma });
    return { secrets, channels: { [SECRET_CHANNEL]: secrets.forget } };
  },
};
