/** Access: API keys that tenants make for themselves, logins of users, and their sessions. */
import type { Feature } from '../../feature.ts';

export const access: Feature = { name: 'access', api: async () => (await import('./api.ts')).api };
