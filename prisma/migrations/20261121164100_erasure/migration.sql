-- CreateTable
CREATE TABLE "erasure" (
    "id" TEXT NOT NULL,
    "tenant_id" TEXT NOT NULL,
    "subject" TEXT,
    "force" BOOLEAN NOT NULL,
    "status" TEXT NOT NULL DEFAULT 'pending',
    "step" INTEGER NOT NULL DEFAULT 0,
    "after" TEXT,
    "removed" JSONB NOT NULL DEFAULT '{}',
    "requested_by" TEXT NOT NULL,
    "requested_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "finished_at" TIMESTAMPTZ(3),
    "expires_at" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "erasure_pkey" PRIMARY KEY ("id")
);

-- CreateIndex
CREATE INDEX "erasure_tenant_id_requested_at_idx" ON "erasure"("tenant_id", "requested_at" DESC);

-- CreateIndex
CREATE INDEX "erasure_open" ON "erasure"("requested_at") WHERE (status <> 'completed');

-- CreateIndex
CREATE INDEX "erasure_expires_at_idx" ON "erasure"("expires_at");
