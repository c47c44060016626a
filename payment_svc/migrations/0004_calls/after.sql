SELECT 'a call is under way: ' || payment_id FROM attempts WHERE call_until IS NOT NULL
UNION ALL
SELECT 'counted from before: ' || payment_id FROM attempts WHERE payment_id = 'pay_declined' AND look_ups <> 0
UNION ALL
SELECT 'counted anew: ' || payment_id FROM attempts WHERE payment_id = 'pay_unknown' AND look_ups <> 7;
