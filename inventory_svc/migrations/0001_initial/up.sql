-- At every moment: received = on_hand + sold, and 0 <= reserved <= on_hand. A statement that would break
-- this fails, whatever the code that sent it believes.

CREATE TABLE products (
    merchant_id text NOT NULL,                  -- seller
    sku         text NOT NULL,                  -- the merchant's own product code
    name        text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    unit_amount bigint NOT NULL CHECK (unit_amount > 0),     -- minor units, tax included
    currency    text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),  -- ISO 4217
    on_hand     bigint NOT NULL DEFAULT 0 CHECK (on_hand >= 0),  -- in the warehouse, reserved ones included
    reserved    bigint NOT NULL DEFAULT 0 CHECK (reserved >= 0), -- held for open orders
    sold        bigint NOT NULL DEFAULT 0 CHECK (sold >= 0),
    received    bigint NOT NULL DEFAULT 0 CHECK (received >= 0), -- sum of the adjustments below
    version     bigint NOT NULL DEFAULT 1 CHECK (version >= 1),  -- up by one with every change of the stock
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (merchant_id, sku),
    CONSTRAINT products_not_oversold CHECK (reserved <= on_hand),
    CONSTRAINT products_conserved CHECK (received = on_hand + sold)
);
COMMENT ON TABLE products IS 'What merchants sell, at which price, and how much of it is there.';
-- A row on sale is rewritten many times a second. Room in its page keeps the new versions there, with no
-- work for the index; frequent vacuums keep the page short.
ALTER TABLE products SET (
    fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000
);

CREATE TABLE stock_adjustments (
    id          text PRIMARY KEY,               -- adj_…
    merchant_id text NOT NULL,
    sku         text NOT NULL,
    delta       bigint NOT NULL CHECK (delta <> 0),  -- units added (positive) or removed
    reason      text NOT NULL CHECK (length(reason) BETWEEN 1 AND 100),
    created_at  timestamptz NOT NULL DEFAULT now(),
    FOREIGN KEY (merchant_id, sku) REFERENCES products
);
COMMENT ON TABLE stock_adjustments IS 'Every change of stock that no order caused. Only ever added to.';
CREATE INDEX stock_adjustments_of_product ON stock_adjustments (merchant_id, sku, created_at);

CREATE TABLE reservations (
    id          text PRIMARY KEY,               -- rsv_…
    order_id    text NOT NULL UNIQUE,           -- an order holds stock once, however often it asks
    merchant_id text NOT NULL,
    state       text NOT NULL CHECK (state IN ('HELD', 'COMMITTED', 'RELEASED')),
    version     bigint NOT NULL DEFAULT 1 CHECK (version >= 1),  -- up by one with every move
    expires_at  timestamptz NOT NULL,           -- a hold that is older waits for a payment that hangs
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE reservations IS 'Stock of one order: held, then sold or given back.';
-- Each row is rewritten once, soon after it was made; half a page of room lets it stay there.
ALTER TABLE reservations SET (fillfactor = 60);

-- No foreign key to products: checking it would lock the row of a product that is on sale for every order,
-- and products are never deleted.
CREATE TABLE reservation_lines (
    reservation_id text NOT NULL REFERENCES reservations,
    sku            text NOT NULL,
    quantity       bigint NOT NULL CHECK (quantity > 0),
    PRIMARY KEY (reservation_id, sku)
);
COMMENT ON TABLE reservation_lines IS 'What a reservation holds. Never changed.';

-- The service's own role has the name of the database. It can neither delete nor truncate anything here, and
-- what was written to a log stays as it is.
DO $$
BEGIN
    EXECUTE format('GRANT SELECT, INSERT, UPDATE ON products TO %I', current_database());
    EXECUTE format('GRANT SELECT, INSERT ON stock_adjustments TO %I', current_database());
    EXECUTE format('GRANT SELECT, INSERT ON reservations TO %I', current_database());
    EXECUTE format('GRANT UPDATE (state, version, updated_at) ON reservations TO %I', current_database());
    EXECUTE format('GRANT SELECT, INSERT ON reservation_lines TO %I', current_database());
END
$$;
