/** Keys that tenants have made for themselves, for the authentication. */
import type { Access } from '../../domain/access.ts';

export interface KeyHolder {
  userId: string;
  tenantId: string;
  access: Access;
}

export interface FindApiKey {
  /** Whether it is spelled as one of these keys. */
  isOne(text: string): boolean;
  find(text: string): Promise<KeyHolder | undefined>;
  /** Writes down which keys were used since it last did. */
  flush(): Promise<void>;
}
