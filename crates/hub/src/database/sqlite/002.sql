-- Events that said what the hub had already, so that nothing was logged for them. One that comes again after the row has
-- changed must not be taken for a new one.
CREATE TABLE repeated_events (
  event_id BLOB PRIMARY KEY,
  version INTEGER NOT NULL,              -- the log entry that the row had then
  merged INTEGER NOT NULL                -- the row held columns that its device did not send
) WITHOUT ROWID;
