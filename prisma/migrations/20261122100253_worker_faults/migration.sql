-- What fails in a worker now, as it says with every sign of life.
ALTER TABLE "worker" ADD COLUMN "faults" JSONB NOT NULL DEFAULT '[]';
