-- CreateTable
CREATE TABLE "control_event" (
    "id" BIGSERIAL NOT NULL,
    "tenant_id" TEXT NOT NULL,
    "subject" TEXT NOT NULL,
    "subject_id" TEXT NOT NULL,
    "kind" TEXT NOT NULL,
    "by" TEXT NOT NULL,
    "reason" TEXT,
    "data" JSONB,
    "at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "control_event_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "lane_pause" (
    "lane" TEXT NOT NULL,
    "tenant_id" TEXT NOT NULL,
    "by" TEXT NOT NULL,
    "reason" TEXT,
    "since" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "lane_pause_pkey" PRIMARY KEY ("lane")
);

-- CreateIndex
CREATE INDEX "control_event_tenant_id_id_idx" ON "control_event"("tenant_id", "id" DESC);

-- CreateIndex
CREATE INDEX "control_event_subject_subject_id_id_idx" ON "control_event"("subject", "subject_id", "id" DESC);
