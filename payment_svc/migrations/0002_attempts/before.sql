-- One payment in each state that there was.
INSERT INTO payments (id, order_id, merchant_id, customer_id, status, amount, amount_captured, fee_amount, tax_amount,
    currency, payment_method_id, psp, psp_reference, reason, decline_code, next_action_type, attempt, look_up_at,
    look_ups, correlation_id, traceparent, version, created_at, updated_at)
SELECT 'pay_' || p.id, 'ord_' || p.id, 'mer_1', 'cus_1', p.status, 2000, p.captured, 50, 319, 'EUR', 'token_1',
    'psp_1', p.reference, p.reason, p.code, p.action, 1, p.look_up_at, p.look_ups, 'cor_1', '', 2, now(), now()
FROM (VALUES
    ('captured',  'CAPTURED',        2000, 'ref_1', '',              '',                  '',                NULL,  0),
    ('declined',  'FAILED',          0,    'ref_2', 'card_declined', 'generic_decline',   '',                NULL,  0),
    ('rejected',  'FAILED',          0,    NULL,   'rejected_by_psp', '',                '',                NULL,  0),
    ('voided',    'VOIDED',          0,    'ref_3', 'authentication_expired', '',         '',                NULL,  0),
    ('waiting',   'REQUIRES_ACTION', 0,    'ref_4', '',              '',                  'redirect_to_url', now(), 3),
    ('unknown',   'UNKNOWN',         0,    NULL,   '',              '',                  '',                now(), 7),
    ('processing', 'PROCESSING',     0,    NULL,   '',              '',                  '',                now(), 0)
) AS p (id, status, captured, reference, reason, code, action, look_up_at, look_ups);
INSERT INTO webhooks (event_id, type, payment_id, payload) VALUES ('evt_1', 'paid', 'pay_captured', '{}');
