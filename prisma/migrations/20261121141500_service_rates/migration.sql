-- CreateTable
CREATE TABLE "service_rate" (
    "key" TEXT NOT NULL,
    "used" BIGINT NOT NULL DEFAULT 0,
    "batch_at" TIMESTAMPTZ(3),
    "batch_planned" INTEGER NOT NULL DEFAULT 0,

    CONSTRAINT "service_rate_pkey" PRIMARY KEY ("key")
);

-- CreateTable
CREATE TABLE "service_use" (
    "key" TEXT NOT NULL,
    "n" BIGINT NOT NULL,
    "at" TIMESTAMPTZ(3) NOT NULL,
    "expires_at" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "service_use_pkey" PRIMARY KEY ("key","n")
);

-- CreateTable
CREATE TABLE "service_turn" (
    "key" TEXT NOT NULL,
    "id" TEXT NOT NULL,
    "at" TIMESTAMPTZ(3) NOT NULL,
    "expires_at" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "service_turn_pkey" PRIMARY KEY ("key","id")
);

-- CreateIndex
CREATE INDEX "service_use_expires_at_idx" ON "service_use"("expires_at");

-- CreateIndex
CREATE INDEX "service_turn_expires_at_idx" ON "service_turn"("expires_at");
