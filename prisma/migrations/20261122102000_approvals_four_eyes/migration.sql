-- Approvals that were asked for before are decided by the rule of then.
ALTER TABLE "approval" ADD COLUMN "four_eyes" BOOLEAN NOT NULL DEFAULT false;
