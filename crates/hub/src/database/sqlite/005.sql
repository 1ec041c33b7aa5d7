-- The bucket that a row is dealt into when it is compared with a register's.
ALTER TABLE rows ADD COLUMN bucket INTEGER NOT NULL DEFAULT -1;
CREATE INDEX rows_bucket ON rows(entity_type, bucket);

-- Number and XOR of the prints of every bucket's rows that are not deleted. SQLite has no XOR: a | b without a & b.
CREATE TABLE digests (
  entity_type TEXT NOT NULL,
  bucket INTEGER NOT NULL,
  rows INTEGER NOT NULL,
  hash INTEGER NOT NULL,
  PRIMARY KEY (entity_type, bucket)
) WITHOUT ROWID;

UPDATE rows SET bucket = digest_bucket(entity_id);

CREATE TRIGGER rows_come AFTER INSERT ON rows WHEN NOT new.deleted BEGIN
  INSERT INTO digests VALUES (new.entity_type, new.bucket, 1, digest_print(new.entity_id, new.version))
    ON CONFLICT DO UPDATE SET rows = rows + 1, hash = (hash | excluded.hash) - (hash & excluded.hash);
END;
CREATE TRIGGER rows_change AFTER UPDATE ON rows BEGIN
  INSERT INTO digests
    SELECT old.entity_type, old.bucket, -1, digest_print(old.entity_id, old.version) WHERE NOT old.deleted
    ON CONFLICT DO UPDATE SET rows = rows - 1, hash = (hash | excluded.hash) - (hash & excluded.hash);
  INSERT INTO digests
    SELECT new.entity_type, new.bucket, 1, digest_print(new.entity_id, new.version) WHERE NOT new.deleted
    ON CONFLICT DO UPDATE SET rows = rows + 1, hash = (hash | excluded.hash) - (hash & excluded.hash);
END;
CREATE TRIGGER rows_go AFTER DELETE ON rows WHEN NOT old.deleted BEGIN
  UPDATE digests SET rows = rows - 1,
      hash = (hash | digest_print(old.entity_id, old.version)) - (hash & digest_print(old.entity_id, old.version))
    WHERE entity_type = old.entity_type AND bucket = old.bucket;
END;

INSERT INTO digests
  SELECT entity_type, bucket, 1, digest_print(entity_id, version) FROM rows WHERE NOT deleted
  ON CONFLICT DO UPDATE SET rows = rows + 1, hash = (hash | excluded.hash) - (hash & excluded.hash);
