import { defineConfig } from 'prisma/config';

// Generating the client connects to nothing; migrations are applied by src/store/migrations/migrate.ts.
export default defineConfig({
  schema: 'prisma/schema.prisma',
  migrations: { path: 'prisma/migrations' },
});
