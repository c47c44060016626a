INSERT INTO orders (id, merchant_id, customer_id, status, lines, currency, total_amount, tax_amount, payment_method_id,
    receipt_email, shipping_address, attribution, next_action_type, correlation_id, traceparent, version, created_at,
    updated_at)
VALUES ('ord_1', 'mer_1', 'cus_1', 'REQUIRES_ACTION', '[["mug", "Mug", 1, 100, 0]]', 'EUR', 100, 0, 'card_1', '', '{}',
    '{}', 'redirect_to_url', '', '', 1, '2025-01-19Z', '2025-01-19Z');
