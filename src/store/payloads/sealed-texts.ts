/** Texts of a column that are envelopes where there is a key, and plain where there was none when they were written. */
import { OrchestratorError } from '../../domain/errors.ts';
import { isEnvelope, type Keyring } from '../../engine/keyring.ts';

export interface SealedTexts {
  seal(plain: string, belongsTo: readonly string[]): string;
  open(stored: string, belongsTo: readonly string[]): string;
}

export function sealedTexts(keyring: Keyring | undefined): SealedTexts {
  return {
    seal: (plain, belongsTo) => keyring?.seal(plain, belongsTo) ?? plain,
    open(stored, belongsTo) {
      if (!isEnvelope(stored)) return stored;
      if (keyring !== undefined) return keyring.open(stored, belongsTo);
      throw new OrchestratorError('encryption_key_missing', 'What is needed is encrypted, and SECRETS_KEY is not set');
    },
  };
}

/** What the secrets of a webhook belong to. */
export function webhookContext(tenantId: string, webhookId: string): string[] {
  return ['webhook', tenantId, webhookId];
}
