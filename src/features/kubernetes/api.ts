/** What an API process has of it: definitions name namespaces that there are. */
import type { FeatureApi } from '../../feature.ts';
import { createNamespaceCheck } from './check-namespaces.ts';
import { namespacesOf } from './namespaces.ts';

export const api: FeatureApi = {
  endpoints: [],
  open: ({ config }) => ({ endpoints: [], beforeSave: createNamespaceCheck(namespacesOf(config)) }),
};
