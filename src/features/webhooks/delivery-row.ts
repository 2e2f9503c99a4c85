/** What is read of a delivery, and its reading. */
import type { Json } from '../../schemas/json.ts';
import { columnsOf } from '../../store/core/columns.ts';
import { Prisma } from '../../store/generated/client.ts';
import type { DeliveryStatus, WebhookDelivery } from './ports.ts';

/** All but this, which says in which lane it stands. */
export const LANE = { tenantId: true, url: true, host: true } as const;
export const DELIVERY = columnsOf(Prisma.WebhookDeliveryScalarFieldEnum, { omit: LANE, table: 'd' });
export type DeliveryRow = Prisma.WebhookDeliveryGetPayload<{ omit: typeof LANE }>;

export function toDelivery<Row extends DeliveryRow>(row: Row): Row & WebhookDelivery {
  return { ...row, data: row.data as Json, status: row.status as DeliveryStatus }; // No other word is ever written.
}
