-- Epochs that this log has left, in their order: it was restored from a backup, and what came after `head` is lost.
CREATE TABLE left_epochs (
  seq INTEGER PRIMARY KEY,
  epoch TEXT NOT NULL,
  head INTEGER NOT NULL
);
-- For an entry that gave back what was lost: the version that the row had then, in the epoch before.
ALTER TABLE change_log ADD COLUMN restored INTEGER;
