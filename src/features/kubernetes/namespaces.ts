/** The namespaces that Jobs may be in. */
import type { Config } from '../../config/config.ts';

export function namespacesOf({ kubernetes }: Pick<Config, 'kubernetes'>): ReadonlySet<string> {
  return new Set([kubernetes.namespace, ...kubernetes.namespaces]);
}
