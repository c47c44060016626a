INSERT INTO inbox (consumer, event_id, received_at) VALUES
    ('a_svc', 'evt_01JJ0000000000000000000000', '2025-01-19'),
    ('b_svc', 'evt_01JJ0000000000000000000000', '2025-01-19'),
    ('a_svc', 'evt_01K90000000000000000000000', '2025-11-05'),
    -- No id of ours.
    ('a_svc', 'unreadable-0123', now()),
    ('a_svc', 'evt_zzz', now());
