-- It was looked up, and its run locked, for every task; the commit's own condition on the run is stricter.
ALTER TABLE "task" DROP CONSTRAINT "task_run_id_fkey";
