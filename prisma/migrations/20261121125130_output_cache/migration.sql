-- AlterTable
ALTER TABLE "task" ADD COLUMN     "cached" BOOLEAN;

-- CreateTable
CREATE TABLE "output_cache" (
    "tenant_id" TEXT NOT NULL,
    "key" TEXT NOT NULL,
    "run_id" TEXT NOT NULL,
    "output" JSONB NOT NULL,
    "expires_at" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "output_cache_pkey" PRIMARY KEY ("tenant_id","key")
);

-- CreateIndex
CREATE INDEX "output_cache_expires_at_idx" ON "output_cache"("expires_at");
