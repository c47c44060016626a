INSERT INTO timeline (order_id, event_id, at, service, step, detail, trace_id) VALUES
    ('ord_1', 'ord_1', '2025-01-19Z', 'order_svc', 'order.placed', '1 line(s)', 'a3ce929d0e0e47364bf92f3577b34da6'),
    ('ord_1', 'evt_1', '2025-01-19Z', 'inventory_svc', 'stock.reserved', 'all lines held as rsv_3', ''),
    ('ord_1', 'ord_1:2', '2025-01-19Z', 'order_svc', 'order.failed', 'out_of_stock', 'garbage'),
    ('ord_01JHXXQX000000000000000000', 'evt_2', '2025-01-19Z', 'order_svc', 'order.placed', '1 line(s)', '');
