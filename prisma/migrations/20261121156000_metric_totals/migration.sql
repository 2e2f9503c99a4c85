-- CreateTable
CREATE TABLE "metric_total" (
    "name" TEXT NOT NULL,
    "labels" TEXT NOT NULL,
    "value" DOUBLE PRECISION NOT NULL,
    "updated_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "metric_total_pkey" PRIMARY KEY ("name","labels")
);

-- Runs that end from here on are counted.
INSERT INTO "metric_total" ("name", "labels", "value") VALUES ('runs_counted_up_to', '{}', extract(epoch FROM now()));
