-- CreateIndex
CREATE INDEX "run_finished_at" ON "run"("finished_at") WHERE (final);
