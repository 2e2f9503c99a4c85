/** What is shown of a delivery. */
import { columnsOf } from '../../../store/core/columns.ts';
import { Prisma } from '../../../store/generated/client.ts';

/** All but this, which says in which lane it stands. */
export const LANE = { tenantId: true, url: true, host: true } as const;
export const DELIVERY = columnsOf(Prisma.WebhookDeliveryScalarFieldEnum, { omit: LANE, table: 'd' });
