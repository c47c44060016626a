(
    VALUES ('ord_open', false), ('ord_sold', true), ('ord_done', true)
    EXCEPT SELECT id, stock_sold FROM orders
) UNION ALL (
    SELECT 'an order may be completed and not sold', false WHERE NOT EXISTS (
        SELECT FROM pg_constraint WHERE conrelid = 'orders'::regclass AND contype = 'c'
            AND pg_get_constraintdef(oid) LIKE '%COMPLETED%stock_sold%')
) UNION ALL (
    SELECT step, false FROM (
        VALUES ('evt_1', 'stock.reserved'), ('evt_2', 'stock.sold') EXCEPT SELECT event_id, step FROM timeline
    ) AS missing (event_id, step)
) UNION ALL (
    SELECT type, false FROM (
        VALUES ('dl_1', 'stock.sold'), ('dl_2', 'payment.captured') EXCEPT SELECT id, type FROM dead_letters
    ) AS missing (id, type)
);
