(
    VALUES ('evt_1', 'order/ord_1'), ('evt_2', 'order/ord_2') EXCEPT SELECT event_id, aggregate FROM outbox
) UNION ALL (
    -- A letter about nothing that we know stays one.
    VALUES ('dl_1', 'order/ord_3'), ('dl_2', 'order/ord_4'), ('dl_3', '')
    EXCEPT SELECT id, aggregate FROM dead_letters
) UNION ALL (
    VALUES ('dl_1', 'ord_3') EXCEPT SELECT id, headers ->> 'ce-subject' FROM dead_letters
);
