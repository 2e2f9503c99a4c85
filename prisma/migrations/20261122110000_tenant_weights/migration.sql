-- CreateTable
CREATE TABLE "tenant_weight" (
    "tenant_id" TEXT NOT NULL,
    "weight" DOUBLE PRECISION NOT NULL,
    "set_by" TEXT NOT NULL,
    "updated_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "tenant_weight_pkey" PRIMARY KEY ("tenant_id")
);
