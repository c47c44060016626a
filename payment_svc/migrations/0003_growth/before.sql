INSERT INTO webhooks (event_id, psp, type, payment_id, payload) VALUES ('evt_1', 'psp_1', 'paid', 'pay_1', '{}');
