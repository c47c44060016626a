INSERT INTO orders (id, merchant_id, customer_id, status, lines, currency, total_amount, tax_amount,
    payment_method_id, receipt_email, shipping_address, attribution, payment_id, journal_id, stock_committed,
    correlation_id, traceparent, version, created_at, updated_at, ended_at)
SELECT id, 'mer_1', 'cus_1', status, '[["mug", "Mug", 1, 1500, 239]]', 'EUR', 1500, 239,
    'token_1', 'buyer@example.com', '{}', '{}', payment_id, journal_id, sold,
    'cor_1', '', 3, now(), now(), ended_at
FROM (VALUES
    ('ord_open', 'PROCESSING', 'pay_1', '', false, NULL),
    ('ord_sold', 'PROCESSING', '', '', true, NULL),
    ('ord_done', 'COMPLETED', 'pay_3', 'jrn_3', true, now())
) AS o (id, status, payment_id, journal_id, sold, ended_at);
INSERT INTO timeline (order_id, event_id, at, service, step, detail, trace_id) VALUES
    ('ord_done', 'evt_1', now(), 'inventory_svc', 'stock.reserved', 'all lines held as rsv_3', ''),
    ('ord_done', 'evt_2', now(), 'inventory_svc', 'stock.committed', 'rsv_3 sold', '');
INSERT INTO dead_letters (id, consumer, event_id, type, aggregate_id, payload, headers, error, attempts) VALUES
    ('dl_1', 'order_svc', 'evt_2', 'stock.committed', 'ord_done', '\x', '{}', 'no', 8),
    ('dl_2', 'order_svc', 'evt_3', 'payment.captured', 'ord_done', '\x', '{}', 'no', 8);
