-- Whether a person has yet to decide about a row, whose delete must not be forgotten before.
CREATE INDEX conflict_log_pending_row ON conflict_log(entity_type, entity_id) WHERE resolution = 'pending';
-- The head of the log when the event came. Events of entries that are pruned are kept here, too, and forgotten later.
ALTER TABLE repeated_events ADD COLUMN since INTEGER NOT NULL DEFAULT 0;
UPDATE repeated_events SET since = coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'change_log'), 0);
CREATE INDEX repeated_events_since ON repeated_events(since);
-- When the pruning of old entries had come how far.
CREATE TABLE retention_marks (
  at INTEGER PRIMARY KEY,
  position INTEGER NOT NULL               -- entries up to this id were old then
);
-- Up to which change id deletes were forgotten when the device last began from cursor 0: it never had their rows.
ALTER TABLE sync_cursors ADD COLUMN begun_after INTEGER NOT NULL DEFAULT 0;
