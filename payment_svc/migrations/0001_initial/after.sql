-- The service's role can neither make a payment disappear nor rewrite what a PSP has sent.
SELECT 'the service may delete from ' || name FROM unnest(ARRAY['payments', 'webhooks']) AS name
WHERE has_table_privilege(current_database(), name, 'DELETE, TRUNCATE')
UNION ALL
SELECT 'the service may rewrite the webhooks'' ' || attname FROM pg_attribute
WHERE attrelid = 'webhooks'::regclass AND attnum > 0 AND attname <> 'outcome'
    AND has_column_privilege(current_database(), attrelid, attnum, 'UPDATE');
