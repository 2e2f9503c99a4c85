-- CreateTable
CREATE TABLE "flow_dead_letter" (
    "id" BIGSERIAL NOT NULL,
    "tenant_id" VARCHAR(255) NOT NULL,
    "topic" VARCHAR(249) NOT NULL,
    "partition" INTEGER NOT NULL,
    "message_offset" TEXT NOT NULL,
    "written_at" TIMESTAMPTZ(3) NOT NULL,
    "key" TEXT,
    "headers" JSONB NOT NULL,
    "code" TEXT NOT NULL,
    "error" TEXT NOT NULL,
    "original" TEXT NOT NULL,
    "bytes" INTEGER NOT NULL,
    "retryable" BOOLEAN NOT NULL,
    "failed_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "retried_at" TIMESTAMPTZ(3),
    "discarded_at" TIMESTAMPTZ(3),

    CONSTRAINT "flow_dead_letter_pkey" PRIMARY KEY ("id")
);

-- CreateIndex
CREATE UNIQUE INDEX "flow_dead_letter_topic_partition_message_offset_written_at_key" ON "flow_dead_letter"("topic", "partition", "message_offset", "written_at");

-- CreateIndex
CREATE INDEX "flow_dead_letter_tenant_id_failed_at_id_idx" ON "flow_dead_letter"("tenant_id", "failed_at" DESC, "id" DESC);
