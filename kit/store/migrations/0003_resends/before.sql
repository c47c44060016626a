INSERT INTO outbox (event_id, type, aggregate, payload, correlation_id, traceparent, next_send_at, sends) VALUES
    ('evt_5', 'order.placed', 'order/ord_5', '\x0a', 'cor_5', '', '2026-01-01 00:00+00', 1),
    ('evt_6', 'order.placed', 'order/ord_6', '\x0a', 'cor_6', '', '2026-01-02 00:00+00', 9);
