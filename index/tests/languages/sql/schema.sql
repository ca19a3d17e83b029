-- The tables of the shop.
BEGIN;

CREATE SCHEMA shop;

CREATE TYPE shop.order_state AS ENUM ('open', 'paid', 'shipped');

-- Who buys.
CREATE TABLE IF NOT EXISTS customers (
    id bigint PRIMARY KEY,
    name text NOT NULL,
    email varchar(200) UNIQUE CHECK (email LIKE '%@%'),
    created_at timestamptz DEFAULT now()
);

/* One line each,
   never changed. */
CREATE TABLE shop."order" (
    id serial PRIMARY KEY,
    customer_id bigint NOT NULL REFERENCES customers (id) ON DELETE CASCADE,
    total numeric(10, 2) DEFAULT 0.00,
    note text DEFAULT 'it''s; not -- the end'
);

CREATE UNIQUE INDEX order_by_customer ON shop."order" (customer_id, id DESC);

CREATE VIEW open_orders AS
SELECT o.id, c.name, sum(o.total) OVER (PARTITION BY c.id) AS spent
FROM shop."order" o
JOIN customers AS c ON c.id = o.customer_id
WHERE o.total > 0;

CREATE MATERIALIZED VIEW totals AS SELECT count(*) AS n FROM customers;

CREATE OR REPLACE FUNCTION add_tax(amount numeric, rate numeric DEFAULT 0.19)
RETURNS numeric AS $$
BEGIN
    RETURN round(amount * (1 + rate), 2);
END;
$$ LANGUAGE plpgsql;

CREATE TRIGGER touch_order
BEFORE UPDATE ON customers
FOR EACH ROW EXECUTE FUNCTION touch();

CREATE SEQUENCE invoice_number START WITH 1000;

ALTER TABLE customers ADD COLUMN phone text;

WITH recent AS (
    SELECT id FROM customers WHERE created_at > now() - interval '7 days'
)
INSERT INTO shop."order" (customer_id)
SELECT id FROM recent;

UPDATE customers SET name = upper(name) WHERE id IN (1, 2, 3);

COMMIT;
