-- AlterTable
ALTER TABLE "task" ADD COLUMN     "released_at" TIMESTAMPTZ(3);

-- CreateIndex
CREATE INDEX "task_open_parts" ON "task"("run_id", "parent_id", "position") WHERE (parent_id IS NOT NULL AND NOT final);
