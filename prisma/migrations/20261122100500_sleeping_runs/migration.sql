-- AlterTable
ALTER TABLE "run" ADD COLUMN     "asleep" BOOLEAN,
ADD COLUMN     "left_queue" BOOLEAN,
ADD COLUMN     "sleeps_until" TIMESTAMPTZ(3);

-- AlterTable
ALTER TABLE "task" ADD COLUMN     "not_before" TIMESTAMPTZ(3);
