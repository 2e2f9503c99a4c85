-- AlterTable
ALTER TABLE "workflow" ADD COLUMN     "canary_percent" INTEGER,
ADD COLUMN     "canary_version" INTEGER,
ADD COLUMN     "newest_version" INTEGER NOT NULL DEFAULT 1;
