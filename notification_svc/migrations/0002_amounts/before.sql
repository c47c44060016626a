INSERT INTO deliveries (id, order_id, channel, template, recipient, facts, correlation_id, traceparent, status,
    attempts, last_error, requested_at, due_at, sent_at)
SELECT id, order_id, 'email', template, 'buyer@example.com', facts::jsonb, 'cor_1', '', status, 1, '',
    now(), now(), CASE status WHEN 'SENT' THEN now() END
FROM (VALUES
    ('dlv_1', 'ord_1', 'order_completed', 'SENT',
        '{"merchant_id": "mer_1", "amount_minor": 1500, "tax_minor": 239, "currency": "EUR",'
        ' "payment_id": "pay_1", "reason": "", "lines": [{"sku": "mug", "quantity": 1}]}'),
    ('dlv_2', 'ord_2', 'order_failed', 'PENDING',
        '{"merchant_id": "mer_1", "amount_minor": 90071992547409931, "tax_minor": 0, "currency": "JPY",'
        ' "payment_id": "", "reason": "out_of_stock", "lines": []}')
) AS d (id, order_id, template, status, facts);
