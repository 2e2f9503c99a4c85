-- AlterTable
ALTER TABLE "task" ADD COLUMN     "item" JSONB,
ADD COLUMN     "parent_id" TEXT,
ADD COLUMN     "position" INTEGER,
ADD COLUMN     "wakes" INTEGER NOT NULL DEFAULT 0,
ADD COLUMN     "wakes_seen" INTEGER NOT NULL DEFAULT 0;

-- CreateIndex
CREATE INDEX "task_parts" ON "task"("run_id", "parent_id", "position") WHERE (parent_id IS NOT NULL);
