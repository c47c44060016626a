INSERT INTO reservations (id, order_id, merchant_id, state, version, expires_at) VALUES
    ('rsv_1', 'ord_1', 'mer_1', 'HELD', 1, now()),
    ('rsv_2', 'ord_2', 'mer_1', 'COMMITTED', 2, now()),
    ('rsv_3', 'ord_3', 'mer_1', 'RELEASED', 2, now());
INSERT INTO reservation_lines (reservation_id, sku, quantity) VALUES ('rsv_2', 'mug', 2);
INSERT INTO outbox (event_id, type, aggregate_id, payload, correlation_id, traceparent, next_send_at) VALUES
    ('evt_1', 'stock.committed', 'ord_2', '\x0a', 'cor_2', '', now()),
    ('evt_2', 'stock.released', 'ord_3', '\x0a', 'cor_3', '', now());
