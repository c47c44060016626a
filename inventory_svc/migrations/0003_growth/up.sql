-- Dead rows are cleared by the ten thousand, not by the fifth part of a year; what is only added to is looked at
-- once for each fiftieth, so that no vacuum has a year of pages to read.
ALTER TABLE reservations SET (
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000,
    autovacuum_vacuum_insert_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02
);
ALTER TABLE reservation_lines SET (
    autovacuum_vacuum_insert_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02
);
