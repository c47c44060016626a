INSERT INTO dead_letters (id, consumer, event_id, type, aggregate, payload, headers, error, attempts,
    acknowledged_at, outcome)
VALUES ('dl_1', 'a_svc', 'evt_1', 'order.placed', 'order/ord_1', '', '{}', 'no', 8, now(), 'replayed'),
    ('dl_2', 'a_svc', 'evt_2', 'order.placed', 'order/ord_1', '', '{}', 'no', 8, NULL, NULL);
