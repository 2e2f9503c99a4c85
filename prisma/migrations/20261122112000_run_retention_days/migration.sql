-- AlterTable
ALTER TABLE "run" ADD COLUMN "retention_days" INTEGER;
