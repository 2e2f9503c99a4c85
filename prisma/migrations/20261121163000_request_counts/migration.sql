-- CreateTable
CREATE UNLOGGED TABLE "request_count" (
    "key" TEXT NOT NULL,
    "count" INTEGER NOT NULL,
    "ends_at" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "request_count_pkey" PRIMARY KEY ("key")
);

-- CreateIndex
CREATE INDEX "request_count_ends_at_idx" ON "request_count"("ends_at");
