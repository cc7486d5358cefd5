-- +goose Up

-- The number of a release's current run, raised whenever the release is started anew, and
-- the run that an instance was started for: an order that no clock decides. Instances that
-- had ended before belong to no run.
ALTER TABLE release ADD COLUMN run BIGINT NOT NULL DEFAULT 0;
ALTER TABLE instance ADD COLUMN run BIGINT NOT NULL DEFAULT 0;
UPDATE instance SET run = -1 WHERE state = 'ended';

-- How long processes have executed the current step of an operation, in nanoseconds, instead
-- of the time of day at which its limit is over.
ALTER TABLE operation ADD COLUMN spent BIGINT NOT NULL DEFAULT 0;
ALTER TABLE operation DROP COLUMN deadline;

-- +goose Down
ALTER TABLE operation ADD COLUMN deadline BIGINT NOT NULL DEFAULT 0;
ALTER TABLE operation DROP COLUMN spent;
ALTER TABLE instance DROP COLUMN run;
ALTER TABLE release DROP COLUMN run;
