-- What the service may change of a reservation follows the name of the column.
ALTER TABLE reservations RENAME COLUMN state TO status;
ALTER TABLE reservations DROP CONSTRAINT reservations_state_check;
UPDATE reservations SET status = 'SOLD' WHERE status = 'COMMITTED';
ALTER TABLE reservations
    ADD CONSTRAINT reservations_status_check CHECK (status IN ('HELD', 'SOLD', 'RELEASED'));

-- Who waits for one of these knows it under its new name only.
UPDATE outbox SET type = 'stock.sold' WHERE type = 'stock.committed';
