INSERT INTO outbox (event_id, type, aggregate_id, payload, correlation_id, traceparent, next_send_at) VALUES
    ('evt_1', 'order.placed', 'ord_1', '\x0a', 'cor_1', '', now()),
    ('evt_2', 'order.placed', 'ord_2', '\x0a', 'cor_2', '', now());
INSERT INTO dead_letters
    (id, consumer, event_id, type, aggregate_id, payload, headers, error, attempts, acknowledged_at, outcome)
VALUES
    ('dl_1', 'a_svc', 'evt_3', 'stock.reserved', 'ord_3', '\x', '{"ce-subject": "ord_3"}', 'no', 8, NULL, NULL),
    ('dl_2', 'a_svc', 'evt_4', 'stock.reserved', 'ord_4', '\x', '{}', 'no', 8, now(), 'discarded'),
    ('dl_3', 'a_svc', 'unreadable-1', '', '', '\x', '{}', 'no', 1, NULL, NULL);
