WITH expected (payment_id, state, reference, reason, looked_up, look_ups) AS (VALUES
    ('pay_captured',   'DONE',    'ref_1', '',                       false, 0),
    ('pay_declined',   'CLOSING', 'ref_2', 'card_declined',          true,  0),
    ('pay_rejected',   'ENDED',   '',     'rejected_by_psp',        false, 0),
    ('pay_voided',     'ENDED',   'ref_3', 'authentication_expired', false, 0),
    ('pay_waiting',    'OPEN',    'ref_4', '',                       true,  3),
    ('pay_unknown',    'OPEN',    '',     '',                       true,  7),
    ('pay_processing', 'OPEN',    '',     '',                       true,  0)
), found AS (
    SELECT payment_id, state, coalesce(psp_reference, ''), reason, look_up_at IS NOT NULL, look_ups FROM attempts
    WHERE kind = 'CHARGE' AND number = 1 AND operation = 1 AND psp = 'psp_1' AND amount = 2000
)
SELECT 'missing: ' || payment_id FROM (SELECT * FROM expected EXCEPT SELECT * FROM found) AS m
UNION ALL
SELECT 'not as expected: ' || payment_id FROM (SELECT * FROM found EXCEPT SELECT * FROM expected) AS m
UNION ALL
SELECT 'the id of a webhook still counts for every PSP' WHERE NOT EXISTS (
    SELECT FROM pg_constraint WHERE conrelid = 'webhooks'::regclass AND contype = 'p' AND cardinality(conkey) = 2)
UNION ALL
SELECT 'the service may rewrite ' || name FROM unnest(ARRAY['decisions']) AS name
WHERE has_table_privilege(current_database(), name, 'UPDATE, DELETE, TRUNCATE')
UNION ALL
SELECT 'the service may delete from ' || name FROM unnest(ARRAY['attempts']) AS name
WHERE has_table_privilege(current_database(), name, 'DELETE, TRUNCATE');
