/** allowed: it was done; denied: by who calls (401, 403); refused: by what was requested; failed: it could not be done. */
export const AUDIT_DECISIONS = ['allowed', 'denied', 'refused', 'failed'] as const;
