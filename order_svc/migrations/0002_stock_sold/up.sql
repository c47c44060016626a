-- The CHECK that a completed order is paid, accounted and sold follows the name of the column.
ALTER TABLE orders RENAME COLUMN stock_committed TO stock_sold;
UPDATE timeline SET step = 'stock.sold' WHERE step = 'stock.committed';
UPDATE dead_letters SET type = 'stock.sold' WHERE type = 'stock.committed';
