/**
 * What a request may do: each operation names one permission, roles give permissions, and the scopes of the credentials
 * take away what they do not name. What is not granted is denied.
 */

import { OrchestratorError } from './errors.ts';

export const ROLES = ['viewer', 'operator', 'editor', 'admin', 'worker'] as const;
export type Role = (typeof ROLES)[number];

/** Every permission, and what it lets do. */
export const PERMISSIONS = {
  'workflows:read': 'See workflows, their versions and templates',
  'workflows:write': 'Create, change and delete workflows and templates',
  'workflows:control': 'Pause and resume workflows',
  'executions:read': 'See executions: their input, output, events and approvals',
  'executions:run': 'Start workflows that exist, send events',
  'executions:assign': 'Start single tasks of any action type',
  'executions:control': 'Cancel, pause, retry and settle executions, send signals',
  'kubernetes:run': 'Save definitions and start tasks that run Jobs on Kubernetes',
  'approvals:decide': 'Approve and reject, have links sent that do',
  'approvals:link': 'Get links that decide as another approver, instead of having them sent',
  'approvals:override': 'Skip or complete an approval instead of its approvers',
  'sessions:read': 'See sessions and their results',
  'sessions:run': 'Start sessions, and several agents together',
  'sessions:control': 'Cancel, pause, retry and extend sessions, send them messages and signals',
  'tasks:work': 'Lease external tasks and answer them',
  'schedules:read': 'See schedules',
  'schedules:write': 'Create, change and delete schedules',
  'schedules:control': 'Pause and resume schedules',
  'webhooks:read': 'See webhooks and their deliveries',
  'webhooks:write': 'Create, change and delete webhooks',
  'webhooks:control': 'Test webhooks, deliver again',
  'registry:read': 'See services, their operations, and the peers that receive them',
  'registry:write': 'Register and remove services, read their documents again, send them to peers',
  'registry:heartbeat': 'Say that a service is alive',
  'infrastructure:read': 'See dead letters, sagas, late effects, traces, the log of events, who paused what',
  'infrastructure:control': 'Retry and discard dead letters, replay events',
  'infrastructure:write': 'Clear the log of events',
  'secrets:read': 'See the names of secrets',
  'secrets:write': 'Set and delete secrets',
  'keys:read': 'See API keys, without the keys themselves',
  'keys:write': 'Make and revoke API keys',
  'audit:read': 'See and export the audit',
  'data:erase': 'Export and erase the data of a user or of a tenant',
  'system:read': 'See the health, lanes and metrics of the whole installation',
  'system:inspect': 'Look into its queues and its configuration',
  'system:control': 'Pause lanes for all tenants, change their queues',
} as const;
export type Permission = keyof typeof PERMISSIONS;
export const ALL_PERMISSIONS = Object.keys(PERMISSIONS) as Permission[];

/** What an operation requires: `authenticated`: only to be somebody; `public`: nothing. */
export type Needed = Permission | 'authenticated' | 'public';

const VIEWER: readonly Permission[] = [
  ...(['workflows:read', 'executions:read', 'schedules:read', 'webhooks:read', 'registry:read'] as const),
  ...(['sessions:read', 'infrastructure:read', 'system:read'] as const),
];
const OPERATOR: readonly Permission[] = [
  ...VIEWER,
  ...([
    'workflows:control',
    'executions:run',
    'executions:control',
    'approvals:decide',
    'sessions:run',
    'sessions:control',
    'schedules:control',
    'webhooks:control',
  ] as const),
  ...(['infrastructure:control', 'system:inspect', 'system:control'] as const),
];
const EDITOR: readonly Permission[] = [
  ...OPERATOR,
  ...(['workflows:write', 'executions:assign', 'kubernetes:run', 'schedules:write', 'webhooks:write'] as const),
  ...(['registry:write', 'registry:heartbeat', 'secrets:read'] as const),
];

export const ROLE_PERMISSIONS: Readonly<Record<Role, readonly Permission[]>> = {
  viewer: VIEWER,
  operator: OPERATOR,
  editor: EDITOR,
  admin: ALL_PERMISSIONS,
  worker: ['tasks:work', 'registry:heartbeat'],
};

/**
 * Who runs the installation belongs to this tenant: lanes, workers, queues and metrics are everybody's, and show and
 * touch the work of all tenants.
 */
export const SYSTEM_TENANT = 'default';

export interface Access {
  /** How the caller was authenticated; `none`: nothing is required and nothing was checked. */
  means: 'none' | 'api_key' | 'jwt' | 'identity' | 'certificate' | 'session' | 'webhook';
  roles: readonly Role[];
  /** Which credential it was, in words that are no secret: for the audit. Undefined: there was none. */
  credential?: string;
  /** What the credentials are limited to; undefined: whatever the roles allow. */
  scopes: readonly string[] | undefined;
}

/** Where no authentication is configured everybody may do everything, within the tenant that is named. */
export const OPEN_ACCESS: Access = { means: 'none', roles: ['admin'], scopes: undefined };

export function allows({ tenantId, access }: { tenantId: string; access: Access }, permission: Permission): boolean {
  if (!access.roles.some((role) => ROLE_PERMISSIONS[role].includes(permission))) return false;
  if (access.scopes !== undefined && !access.scopes.some((scope) => covers(scope, permission))) return false;
  // Where nobody is checked the name of the tenant is believed, so it keeps nobody away.
  return !isOfSystem(permission) || tenantId === SYSTEM_TENANT || access.means === 'none';
}

export function missing(permission: Permission): OrchestratorError {
  return new OrchestratorError(
    'forbidden',
    `This takes the permission '${permission}', which the credentials do not give`,
  );
}

/** A scope is a permission, or `<resource>:*` for all of one resource. */
export function isScope(text: string): boolean {
  return ALL_PERMISSIONS.some((permission) => covers(text, permission));
}

function covers(scope: string, permission: Permission): boolean {
  return (
    scope === (BEFORE_IT_WAS_SPLIT[permission] ?? permission) ||
    scope === permission ||
    scope === `${resourceOf(permission)}:*`
  );
}

/** Credentials that were limited to starting things may start what they could: only roles tell the two apart. */
const BEFORE_IT_WAS_SPLIT: Partial<Record<Permission, Permission>> = { 'executions:assign': 'executions:run' };

function isOfSystem(permission: Permission): boolean {
  return resourceOf(permission) === 'system';
}

function resourceOf(permission: Permission): string {
  return permission.slice(0, permission.indexOf(':'));
}
