-- The books: accounts from a chart, journals, their entries, and what is computed from them.
-- Amounts are minor units of the account's currency; debit negative, credit positive.

CREATE TABLE currencies (
    code     text PRIMARY KEY CHECK (code ~ '^[A-Z]{3}$'),      -- ISO 4217, or PTS for loyalty points
    exponent smallint NOT NULL CHECK (exponent BETWEEN 0 AND 4) -- decimal places: JPY 0, EUR 2, KWD 3
);
COMMENT ON TABLE currencies IS 'What amounts can be in.';

CREATE TABLE chart (
    kind          text PRIMARY KEY CHECK (kind ~ '^[a-z][a-z_]*$'),
    holds         text NOT NULL,               -- for people
    normal_side   text NOT NULL CHECK (normal_side IN ('debit', 'credit')),
    lanes         smallint NOT NULL DEFAULT 1 CHECK (lanes BETWEEN 1 AND 99),
    floor         bigint,                      -- no debit may take the balance below it
    ceiling       bigint,                      -- no credit may take the balance above it
    binding_kinds text[],                      -- journal kinds that floor and ceiling bind; NULL: all of them
    only_currency text REFERENCES currencies,  -- NULL: any
    constrained   boolean GENERATED ALWAYS AS (floor IS NOT NULL OR ceiling IS NOT NULL) STORED,
    -- A limit needs one balance to look at.
    CHECK (lanes = 1 OR (floor IS NULL AND ceiling IS NULL)),
    CHECK (binding_kinds IS NULL OR floor IS NOT NULL OR ceiling IS NOT NULL)
);
COMMENT ON TABLE chart IS 'What kinds of accounts there are. Accounts are made from it on their first use.';

CREATE TABLE accounts (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    code      text NOT NULL UNIQUE,            -- kind:owner[:detail]:CCY, with #NN if it is a lane
    base      text NOT NULL,                   -- the code without the lane: what callers name
    kind      text NOT NULL REFERENCES chart,
    currency  text NOT NULL REFERENCES currencies,
    opened_at timestamptz NOT NULL DEFAULT now(),
    closed_at timestamptz,                     -- closed to new entries
    txid      xid8 NOT NULL DEFAULT pg_current_xact_id()
);
COMMENT ON TABLE accounts IS
    'One currency each. A hot account is many lanes: rows with one base, summed by whoever reads.';
CREATE INDEX accounts_by_base ON accounts (base);
CREATE INDEX accounts_by_txid ON accounts (txid);

CREATE TABLE journals (
    id           text PRIMARY KEY CHECK (id LIKE 'jrn\_%'),
    business_key text NOT NULL UNIQUE CHECK (length(business_key) BETWEEN 1 AND 255),
    kind         text NOT NULL CHECK (length(kind) BETWEEN 1 AND 64),  -- e.g. payment.captured
    reference    text NOT NULL,                -- what it is about, e.g. pay_…
    order_id     text,
    payment_id   text,
    corrects     text REFERENCES journals,     -- the journal that this one corrects
    effective_at timestamptz NOT NULL,
    recorded_at  timestamptz NOT NULL DEFAULT now(),
    txid         xid8 NOT NULL DEFAULT pg_current_xact_id()
);
COMMENT ON TABLE journals IS 'One business event each, once by business key. Append only.';
CREATE INDEX journals_by_txid ON journals (txid);

CREATE SEQUENCE entries_seq CACHE 1000;     -- gaps do not matter, and order is (txid, seq)
CREATE TABLE entries (
    account_id bigint NOT NULL,                -- no foreign keys: only post_journals writes here, and
    journal_id text NOT NULL,                  -- two look-ups an entry would double its cost
    amount     bigint NOT NULL
               CHECK (amount <> 0 AND amount BETWEEN -1000000000000000 AND 1000000000000000),
    seq        bigint NOT NULL DEFAULT nextval('entries_seq'),
    txid       xid8 NOT NULL DEFAULT pg_current_xact_id(),
    PRIMARY KEY (account_id, txid, seq)
) PARTITION BY HASH (account_id);
COMMENT ON TABLE entries IS
    'The lines of all journals. Append only. (txid, seq) is an order that a late commit cannot upset.';
COMMENT ON COLUMN entries.txid IS
    'Compared with the horizon of seals and snapshots: a new cluster must begin above it (pg_resetwal -x).';
COMMENT ON COLUMN entries.amount IS
    'Minor units, never 0. Bounded, so that nine thousand of the largest still fit into a sum.';
CREATE INDEX entries_by_txid ON entries (txid, seq);

CREATE TABLE balance_headers (
    account_id bigint PRIMARY KEY REFERENCES accounts,
    posted     bigint NOT NULL DEFAULT 0,
    pending    bigint NOT NULL DEFAULT 0 CHECK (pending >= 0), -- held for what is not decided yet
    version    bigint NOT NULL DEFAULT 1 CHECK (version >= 1),
    floor      bigint,                         -- of the chart, where it binds every journal
    ceiling    bigint,
    CHECK (floor IS NULL OR posted - pending >= floor),
    CHECK (ceiling IS NULL OR posted <= ceiling)
);
COMMENT ON TABLE balance_headers IS
    'The balances of constrained accounts, changed once a batch. All other accounts have no such row.';

CREATE TABLE snapshots (
    account_id  bigint NOT NULL REFERENCES accounts,
    horizon     xid8 NOT NULL,                 -- counts every entry with a smaller txid
    posted      bigint NOT NULL,
    entry_count bigint NOT NULL CHECK (entry_count > 0),
    taken_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (account_id, horizon)
);
COMMENT ON TABLE snapshots IS
    'Balances at a horizon; a balance is the newest snapshot and the entries after it.';

CREATE TABLE seals (
    shard         text NOT NULL,               -- entries/0 … entries/3, journals, accounts
    from_txid     xid8 NOT NULL,               -- first transaction that is sealed
    to_txid       xid8 NOT NULL,               -- first transaction that is not
    row_count     bigint NOT NULL CHECK (row_count >= 0),
    previous_hash bytea NOT NULL,
    hash          bytea NOT NULL CHECK (length(hash) = 32),
    sealed_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (shard, from_txid),
    CHECK (from_txid < to_txid)
);
COMMENT ON TABLE seals IS 'A chain of SHA-256 hashes over each shard; recomputing it finds any changed row.';

CREATE TABLE posting_halts (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    reason    text NOT NULL,
    halted_at timestamptz NOT NULL DEFAULT now(),
    lifted_at timestamptz                      -- set by a person who knows what happened
);
COMMENT ON TABLE posting_halts IS
    'Posting stops while one of these is not lifted: the books do not sum to zero.';
CREATE INDEX posting_halts_open ON posting_halts (id) WHERE lifted_at IS NULL;

-- Declared for the triggers below; what it does is in functions/refuse_change.sql.
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not there yet'; END $$;

DO $$
DECLARE
    append_only text;
BEGIN
    -- More than there are cores to write them, so that a distributed Postgres can spread them.
    FOR part IN 0..7 LOOP
        EXECUTE format(
            'CREATE TABLE entries_%s PARTITION OF entries FOR VALUES WITH (MODULUS 8, REMAINDER %s)',
            part, part);
    END LOOP;
    -- Statement triggers: they refuse even what would touch no row, and cost an INSERT nothing. Partitions
    -- need their own, because a statement can name them.
    FOREACH append_only IN ARRAY ARRAY['journals', 'snapshots', 'seals', 'entries']
        || ARRAY(SELECT 'entries_' || part FROM generate_series(0, 7) AS part)
    LOOP
        EXECUTE format(
            'CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON %I'
            ' FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', append_only);
    END LOOP;
END
$$;
CREATE TRIGGER kept BEFORE DELETE OR TRUNCATE OR UPDATE OF id, code, base, kind, currency, opened_at, txid
    ON accounts FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER kept BEFORE DELETE OR TRUNCATE
    ON balance_headers FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- What is legal tender somewhere, by its decimal places in ISO 4217, and loyalty points (PTS).
INSERT INTO currencies (exponent, code)
SELECT exponent, regexp_split_to_table(codes, '\s+') FROM (VALUES
    (0, 'BIF CLP DJF GNF ISK JPY KMF KRW PTS PYG RWF UGX VND VUV XAF XOF XPF'),
    (3, 'BHD IQD JOD KWD LYD OMR TND'),
    (2, 'AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF
        CNY COP CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG
        HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU
        MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR
        SDG SEK SGD SHP SLE SOS SRD SSP STN SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD UYU UZS VES WST
        XCD XCG YER ZAR ZMW ZWG')
) AS counted (exponent, codes);

INSERT INTO chart (kind, normal_side, lanes, floor, binding_kinds, only_currency, holds) VALUES
    ('card',              'debit',  1,  NULL, NULL, NULL, 'per customer: what was paid in and given back'),
    ('merchant',          'credit', 1,  0, ARRAY['payout.requested'], NULL,
        'per merchant: what is owed; refunds may take it below 0, payouts may not'),
    ('merchant_reserve',  'credit', 1,  0,    NULL, NULL, 'per merchant: holdback and disputed amounts'),
    ('platform_revenue',  'credit', 32, NULL, NULL, NULL, 'our fees'),
    ('fx_pool',           'debit',  32, NULL, NULL, NULL, 'per currency: what conversions move through'),
    ('fx_revenue',        'credit', 32, NULL, NULL, NULL, 'the spread of conversions'),
    ('psp_clearing',      'debit',  32, NULL, NULL, NULL,
        'per PSP: captured there, not settled to the bank yet'),
    ('card_clearing',     'credit', 32, NULL, NULL, NULL,
        'per PSP: what it took from cards; with the card accounts it sums to zero'),
    ('psp_fees',          'debit',  1,  NULL, NULL, NULL, 'what PSPs keep'),
    ('bank',              'debit',  1,  NULL, NULL, NULL, 'what is on our bank accounts'),
    ('payout_in_transit', 'credit', 1,  NULL, NULL, NULL, 'on its way to merchants'),
    ('disputes',          'credit', 1,  NULL, NULL, NULL, 'held until a dispute is decided'),
    ('rounding',          'credit', 1,  NULL, NULL, NULL, 'what divisions leave over'),
    ('write_off',         'debit',  1,  NULL, NULL, NULL, 'what will not come back'),
    ('tax_payable',       'credit', 32, NULL, NULL, NULL, 'tax collected for the state'),
    ('points',            'credit', 1,  NULL, NULL, 'PTS', 'loyalty points of a customer, and their pool');

-- The service may look at everything, and writes by two functions only: post_journals and close_books.
DO $$
BEGIN
    EXECUTE format(
        'GRANT SELECT ON currencies, chart, accounts, journals, entries, balance_headers, snapshots, seals,'
        ' posting_halts TO %I', current_database());
END
$$;
