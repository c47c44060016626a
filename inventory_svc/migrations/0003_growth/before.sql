INSERT INTO reservations (id, order_id, merchant_id, status, version, expires_at)
VALUES ('rsv_1', 'ord_1', 'mer_1', 'HELD', 1, now());
