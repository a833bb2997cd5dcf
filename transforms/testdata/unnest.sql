-- view sales (revision 1, generation 0) of article, by DuckDB with its TimeZone set to UTC.
-- "orders" holds raw events: the fields of source orders, and record_time, record_offset, record_partition.
-- Its column "lines" is a list of structs, and a row here is an element of one.
with millrace_0 as (
  select
    cast("millrace_elements"."item"."sku" as varchar) as "item.sku",
    cast("millrace_elements"."item"."qty" as bigint) as "item.qty",
    cast("orders"."city" as varchar) as "city",
    cast("millrace_elements"."item"."city" as varchar) as "item.city",
    cast("orders"."lines" as json[]) as "lines",
    cast(coalesce("orders"."at", "record_time") as timestamp) as "millrace_event_time",
    cast(date_trunc('milliseconds', "record_time") as timestamp) as "millrace_now",
    "record_offset",
    "record_partition",
    "millrace_element"
  from "orders", unnest("orders"."lines") with ordinality as "millrace_elements"("item", "millrace_element")
),
millrace_1 as (
  select
    *,
    "item.qty" as "sold",
    ("city" || '/') || "item.city" as "where_to",
    len("lines") as "first_of"
  from millrace_0
  where "millrace_event_time" <= "millrace_now" + interval 300000000 microseconds
    and (("item.qty" > 0) and ("city" <> 'Nowhere'))
    and ("item.sku") is not null
),
millrace_2 as (
  select
    *,
    "sold" * 2 as "twice"
  from millrace_1
),
millrace_rows as (
  select
    cast("item.sku" as varchar) as "millrace_key_0",
    "millrace_event_time",
    "millrace_now",
    "record_offset",
    "record_partition",
    "millrace_element",
    "sold",
    "twice",
    "where_to",
    "first_of",
    try("item.qty" / 2) as "half"
  from millrace_2
)
select
  "millrace_key_0" as "sku",
  "millrace_event_time" as event_time,
  "sold",
  "twice",
  "where_to",
  "first_of",
  "half"
from millrace_rows
qualify row_number() over (
  partition by "millrace_key_0"
  order by "millrace_event_time" desc, "millrace_now" desc, "record_offset" desc, "millrace_element" desc, "record_partition" desc
) = 1
