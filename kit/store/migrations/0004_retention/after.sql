(
    VALUES ('a_svc', 'evt_01JJ0000000000000000000000', 'inbox_before'),
        ('b_svc', 'evt_01JJ0000000000000000000000', 'inbox_before'),
        ('a_svc', 'evt_01K90000000000000000000000', 'inbox_before'),
        ('a_svc', 'unreadable-0123', 'inbox_default'),
        ('a_svc', 'evt_zzz', 'inbox_default')
    EXCEPT SELECT consumer, event_id, tableoid::regclass::text FROM inbox
) UNION ALL (
    SELECT 'the service may delete from its inbox', '', ''
    WHERE has_table_privilege(current_database(), 'inbox', 'DELETE, TRUNCATE')
) UNION ALL (
    SELECT 'the service may say what is kept', '', ''
    WHERE has_table_privilege(current_database(), 'retention', 'INSERT, UPDATE, DELETE, TRUNCATE')
) UNION ALL (
    VALUES ('dead_letters', '', ''), ('idempotency_keys', '', ''), ('inbox', '', '')
    EXCEPT SELECT name, '', '' FROM retention
);
