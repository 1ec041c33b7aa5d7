-- What rules decided, which is kept for a while only.
CREATE INDEX conflict_log_automatic ON conflict_log(id) WHERE resolution <> 'pending' AND resolved_by IS NULL;
