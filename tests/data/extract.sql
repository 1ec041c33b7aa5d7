-- Makes the files of this folder from a store of the Complete Journey data: sqlite3 -readonly STORE < extract.sql
.mode tabs
.headers on
create temp table chosen_products as select product_id from sale_items group by 1 order by count(*) desc, 1 limit 2000;
create temp table chosen_lines as
  select * from sale_items where product_id in (select product_id from chosen_products);
-- Every third sale of those that keep at least one line, so that the extract spans the year.
create temp table chosen_sales as
  select basket_id from (
    select basket_id, row_number() over (order by basket_id) as n from (select distinct basket_id from chosen_lines)
  ) where n % 3 = 1 limit 1200;
.once products.tsv
select * from products where product_id in (select product_id from chosen_products) order by product_id;
.once customers.tsv
select * from customers where household_id in (select household_id from sales where basket_id in (select basket_id from chosen_sales))
  order by household_id;
.once sales.tsv
select * from sales where basket_id in (select basket_id from chosen_sales) order by basket_id;
.once sale_items.tsv
select basket_id, product_id, quantity, sales_cents, retail_disc_cents, coupon_disc_cents, coupon_match_cents
  from chosen_lines where basket_id in (select basket_id from chosen_sales) order by id;
