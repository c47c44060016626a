INSERT INTO deliveries (id, order_id, channel, template, recipient, facts, correlation_id, traceparent, status,
    attempts, last_error, requested_at, due_at, sent_at)
VALUES
    ('dlv_1', 'ord_1', 'email', 'order_completed', 'buyer@example.com', '{"lines": []}', 'cor_1', '', 'SENT',
        1, '', '2025-01-19Z', '2025-01-20Z', '2025-01-21Z'),
    ('dlv_2', 'ord_2', 'email', 'order_failed', 'buyer@example.com', '{"lines": []}', 'cor_2', 'tp', 'PENDING',
        2, '450 busy', '2025-01-19Z', '2025-01-20Z', NULL),
    ('dlv_3', 'ord_01JHXXQX000000000000000000', 'email', 'order_failed', 'buyer@example.com', '{"lines": []}',
        'cor_3', '', 'SENT', 1, '', '2025-01-19Z', '2025-01-20Z', '2025-01-21Z');
