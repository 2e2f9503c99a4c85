import { defineConfig } from 'prisma/config';

// Generating the client connects to nothing; migrations are applied by src/store/migrate.ts.
export default defineConfig({
  schema: 'prisma/schema.prisma',
  migrations: { path: 'prisma/migrations' },
});
