-- AlterTable
ALTER TABLE "task" ADD COLUMN     "discarded_at" TIMESTAMPTZ(3);

-- CreateIndex
CREATE INDEX "event_task_retried" ON "event"("run_id") WHERE (kind = 'task.retried');

-- CreateIndex
CREATE INDEX "task_dead_letters" ON "task"("finished_at" DESC, "run_id" DESC, "action_id" DESC) WHERE (status = 'failed' AND final AND NOT tolerated AND discarded_at IS NULL);
