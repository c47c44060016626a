(
    VALUES ('dl_1', 'replayed'), ('dl_2', NULL) EXCEPT SELECT id, outcome FROM dead_letters
) UNION ALL (
    SELECT 'a letter may not be closed as handled', '' WHERE NOT EXISTS (
        SELECT FROM pg_constraint WHERE conrelid = 'dead_letters'::regclass
            AND pg_get_constraintdef(oid) LIKE '%''handled''%')
) UNION ALL (
    SELECT 'the old function is still there', '' WHERE to_regprocedure('make_partitions()') IS NOT NULL
);
