-- A letter whose event was acted on after all is closed, and says that nobody had to decide it.
ALTER TABLE dead_letters DROP CONSTRAINT dead_letters_outcome_check;
ALTER TABLE dead_letters ADD CONSTRAINT dead_letters_outcome_check
    CHECK (outcome IN ('replayed', 'discarded', 'handled'));

-- Each table is given its partitions in a transaction of its own, by a function that is told which.
DROP FUNCTION IF EXISTS make_partitions();
