SELECT 'webhooks stay for ever' WHERE NOT EXISTS (SELECT FROM retention WHERE name = 'webhooks')
UNION ALL
SELECT 'old webhooks are found by reading all of them' WHERE to_regclass('webhooks_age') IS NULL
UNION ALL
SELECT 'the webhook is gone' WHERE NOT EXISTS (SELECT FROM webhooks WHERE (event_id, psp) = ('evt_1', 'psp_1'))
UNION ALL
SELECT relname || ' have no room for their next version' FROM pg_class
WHERE relname IN ('payments', 'attempts') AND NOT coalesce(reloptions::text LIKE '%fillfactor=75%', false);
