VALUES
    ('dlv_1', '{"merchant_id": "mer_1", "amount": 1500, "tax_amount": 239, "currency": "EUR",'
        ' "payment_id": "pay_1", "reason": "", "lines": [{"sku": "mug", "quantity": 1}]}'::jsonb),
    ('dlv_2', '{"merchant_id": "mer_1", "amount": 90071992547409931, "tax_amount": 0, "currency": "JPY",'
        ' "payment_id": "", "reason": "out_of_stock", "lines": []}')
EXCEPT SELECT id, facts FROM deliveries;
