-- CreateTable
CREATE TABLE "kubernetes_job" (
    "namespace" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "tenant_id" TEXT NOT NULL,
    "run_id" TEXT NOT NULL,
    "action_id" TEXT NOT NULL,
    "epoch" INTEGER NOT NULL,
    "claimed_until" TIMESTAMPTZ(3),
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "kubernetes_job_pkey" PRIMARY KEY ("namespace","name")
);
