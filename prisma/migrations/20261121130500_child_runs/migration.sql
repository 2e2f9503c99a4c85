-- AlterTable
ALTER TABLE "run" ADD COLUMN     "awaited" BOOLEAN,
ADD COLUMN     "depth" INTEGER,
ADD COLUMN     "parent_action_id" TEXT,
ADD COLUMN     "parent_attempt" INTEGER,
ADD COLUMN     "parent_epoch" INTEGER,
ADD COLUMN     "parent_run_id" TEXT;
