-- Needs: retention
INSERT INTO retention (name, written_at, least_days) VALUES ('webhooks', 'received_at', 30);
CREATE INDEX webhooks_age ON webhooks (received_at);

-- Both are moved on a few times in the same second, in columns that no index holds: the new row fits beside the old.
ALTER TABLE payments SET (fillfactor = 75);
ALTER TABLE attempts SET (fillfactor = 75);
