/** Where the queue can be. */
export const BACKENDS = ['redis', 'postgres'] as const;
export type BackendKind = (typeof BACKENDS)[number];
