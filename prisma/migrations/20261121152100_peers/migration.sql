-- CreateTable
CREATE TABLE "peer" (
    "url" TEXT NOT NULL,
    "id" TEXT,
    "last_seen_at" TIMESTAMPTZ(3),
    "last_error" TEXT,
    "failures" INTEGER NOT NULL DEFAULT 0,
    "latency_ms" DOUBLE PRECISION,
    "next_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "leased_until" TIMESTAMPTZ(3),
    "asked" BIGINT NOT NULL DEFAULT 0,
    "done" BIGINT NOT NULL DEFAULT 0,

    CONSTRAINT "peer_pkey" PRIMARY KEY ("url")
);

-- CreateTable
CREATE TABLE "peer_sent" (
    "peer" TEXT NOT NULL,
    "tenant_id" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "version" BIGINT NOT NULL,

    CONSTRAINT "peer_sent_pkey" PRIMARY KEY ("peer","tenant_id","name")
);

-- CreateTable
CREATE TABLE "installation" (
    "one" BOOLEAN NOT NULL DEFAULT true,
    "id" TEXT NOT NULL,

    CONSTRAINT "installation_pkey" PRIMARY KEY ("one")
);
