-- CreateTable
CREATE TABLE "service_circuit" (
    "worker" TEXT NOT NULL,
    "tenant_id" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "instance_id" TEXT NOT NULL,
    "state" TEXT NOT NULL,
    "since" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "service_circuit_pkey" PRIMARY KEY ("worker","tenant_id","name","instance_id")
);

-- CreateIndex
CREATE INDEX "service_circuit_tenant_id_idx" ON "service_circuit"("tenant_id");
