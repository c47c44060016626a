(
    VALUES ('rsv_1', 'HELD', 1), ('rsv_2', 'SOLD', 2), ('rsv_3', 'RELEASED', 2)
    EXCEPT SELECT id, status, version FROM reservations
) UNION ALL (
    VALUES ('evt_1', 'stock.sold', 0), ('evt_2', 'stock.released', 0)
    EXCEPT SELECT event_id, type, 0 FROM outbox
) UNION ALL (
    SELECT conname, pg_get_constraintdef(oid), 0 FROM pg_constraint
    WHERE conrelid = 'reservations'::regclass AND pg_get_constraintdef(oid) LIKE '%COMMITTED%'
) UNION ALL (
    SELECT 'the service may not move a reservation', '', 0
    WHERE NOT has_column_privilege(current_database(), 'reservations', 'status', 'UPDATE')
);
