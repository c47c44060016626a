-- Nobody changes what was written, the owner included.
CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% on % is refused: the books are append only; correct by a new journal',
        TG_OP, TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END
$$;

REVOKE EXECUTE ON FUNCTION refuse_change FROM PUBLIC;
