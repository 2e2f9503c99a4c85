/** The registry of services that `service_call` finds by name. */
import type { JsonObject } from '../schemas/json.ts';
import { Prisma, type PrismaClient } from './generated/client.ts';

export interface RegisteredService {
  name: string;
  baseUrl: string;
  metadata: JsonObject | null;
  createdAt: Date;
  updatedAt: Date;
}

export interface ServiceStore {
  find(tenantId: string, name: string): Promise<RegisteredService | undefined>;
  list(tenantId: string): Promise<RegisteredService[]>;
  /** Again replaces. */
  register(
    tenantId: string,
    service: { name: string; baseUrl: string; metadata?: JsonObject },
  ): Promise<RegisteredService>;
  remove(tenantId: string, name: string): Promise<boolean>;
}

export function createServiceStore(prisma: PrismaClient): ServiceStore {
  return {
    async find(tenantId, name) {
      const row = await prisma.service.findUnique({ where: { tenantId_name: { tenantId, name } } });
      return row === null ? undefined : toService(row);
    },
    async list(tenantId) {
      const rows = await prisma.service.findMany({ where: { tenantId }, orderBy: { name: 'asc' } });
      return rows.map(toService);
    },
    async register(tenantId, { name, baseUrl, metadata }) {
      const fields = { baseUrl, metadata: metadata ?? Prisma.DbNull, updatedAt: new Date() };
      const row = await prisma.service.upsert({
        where: { tenantId_name: { tenantId, name } },
        create: { tenantId, name, ...fields },
        update: fields,
      });
      return toService(row);
    },
    async remove(tenantId, name) {
      return (await prisma.service.deleteMany({ where: { tenantId, name } })).count > 0;
    },
  };
}

function toService(row: {
  name: string;
  baseUrl: string;
  metadata: unknown;
  createdAt: Date;
  updatedAt: Date;
}): RegisteredService {
  const { name, baseUrl, createdAt, updatedAt } = row;
  return { name, baseUrl, metadata: row.metadata as JsonObject | null, createdAt, updatedAt }; // An object went in.
}
