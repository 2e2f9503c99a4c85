CREATE TABLE "session_run" (
    "tenant_id" TEXT NOT NULL,
    "session_id" TEXT NOT NULL,
    "run_id" TEXT NOT NULL,
    "keep_open" BOOLEAN NOT NULL,
    "mfa_code" TEXT,
    "terminated_epoch" INTEGER,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "session_run_pkey" PRIMARY KEY ("tenant_id","session_id")
);

CREATE UNIQUE INDEX "session_run_run_id_key" ON "session_run"("run_id");

CREATE INDEX "session_run_mfa_code" ON "session_run"("run_id") WHERE (mfa_code IS NOT NULL);
