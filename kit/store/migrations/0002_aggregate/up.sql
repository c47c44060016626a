ALTER TABLE outbox RENAME COLUMN aggregate_id TO aggregate;
COMMENT ON COLUMN outbox.aggregate IS
    'What the event belongs to, kind and id, e.g. order/ord_…; the id decides the shard.';
ALTER TABLE dead_letters RENAME COLUMN aggregate_id TO aggregate;
COMMENT ON COLUMN dead_letters.aggregate IS 'What the event belongs to, as its sender said it.';

UPDATE outbox SET aggregate = 'order/' || aggregate WHERE aggregate LIKE 'ord\_%';
UPDATE dead_letters SET aggregate = 'order/' || aggregate WHERE aggregate LIKE 'ord\_%';
