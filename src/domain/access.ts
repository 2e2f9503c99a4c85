/** What a request may do, as its credentials say it: roles, and where those of a key are narrower, scopes. */

export const ROLES = ['viewer', 'operator', 'editor', 'admin', 'worker'] as const;
export type Role = (typeof ROLES)[number];

export interface Access {
  /** By what the caller is known; `none`: nothing is required and nothing was checked. */
  means: 'none' | 'api_key' | 'jwt' | 'certificate' | 'session';
  roles: readonly Role[];
  /** What the credentials are limited to; undefined: whatever the roles allow. */
  scopes: readonly string[] | undefined;
}

/** Where no authentication is configured everybody may do everything, within the tenant that is named. */
export const OPEN_ACCESS: Access = { means: 'none', roles: ['admin'], scopes: undefined };
