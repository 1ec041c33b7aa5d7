-- Rows that are there, in the order of their last writes.
CREATE INDEX rows_live ON rows(entity_type, version) WHERE NOT deleted;
