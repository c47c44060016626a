-- It costs an order what the one before it did: one entry, until it ends.
DROP INDEX orders_open;
CREATE INDEX orders_open ON orders (created_at) WHERE ended_at IS NULL;
