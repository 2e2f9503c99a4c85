-- AlterTable
ALTER TABLE "run" ADD COLUMN     "deadline_at" TIMESTAMPTZ(3),
ADD COLUMN     "ends_as" TEXT;
