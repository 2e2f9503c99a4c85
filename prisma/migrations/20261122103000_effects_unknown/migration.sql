-- AlterTable
ALTER TABLE "task" ADD COLUMN     "effect_unknown" BOOLEAN;

-- AlterTable
ALTER TABLE "late_effect" ADD COLUMN     "compensation" TEXT;
