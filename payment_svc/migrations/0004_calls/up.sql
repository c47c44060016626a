-- Until when a process may call the PSP to charge. Who ends a payment in the PSP's place waits for it, and whoever is
-- to call takes leave under the same lock: so nobody calls for what has ended.
ALTER TABLE attempts ADD COLUMN call_until timestamptz;

-- What had been declined before 0002 is told by the proof if it cannot be cancelled at the PSP: counted from here.
UPDATE attempts a SET look_ups = 0 FROM payments p
WHERE a.state = 'CLOSING' AND p.id = a.payment_id AND p.status = 'FAILED' AND a.look_ups > 0;
