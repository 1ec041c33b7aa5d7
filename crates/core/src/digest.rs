//! Digests: whether register and hub hold the same rows, found out without sending any.
//!
//! A row stands for itself by its key and its version, since a version is written once. The rows of an entity are dealt into
//! [`BUCKETS`] by their keys; a bucket's digest is their number and the XOR of their prints, so that it can be kept up to date
//! with every row that comes, changes or goes. Where two digests differ, only that bucket's rows are compared one by one.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// Buckets per entity: a difference in a million rows is looked for among a thousand.
pub const BUCKETS: u32 = 1024;

/// The bucket that a row belongs to.
pub fn bucket(entity_id: &str) -> u32 {
    (xxh3_64(entity_id.as_bytes()) % u64::from(BUCKETS)) as u32
}

/// What a row of this version adds to the hash of its bucket.
pub fn print(entity_id: &str, version: i64) -> u64 {
    xxh3_64_with_seed(entity_id.as_bytes(), version as u64)
}

/// Number and hash of the rows of a bucket, or of a whole entity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    /// How many rows there are.
    pub rows: u64,
    /// The XOR of their prints; on the wire 16 hexadecimal digits.
    #[serde(with = "hex")]
    pub hash: u64,
}

impl Digest {
    /// Adds another digest's rows.
    pub fn add(&mut self, other: Self) {
        self.rows += other.rows;
        self.hash ^= other.hash;
    }

    /// Adds one row.
    pub fn add_row(&mut self, entity_id: &str, version: i64) {
        self.add(Self { rows: 1, hash: print(entity_id, version) });
    }
}

mod hex {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(hash: &u64, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(&format_args!("{hash:016x}"))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<u64, D::Error> {
        u64::from_str_radix(&String::deserialize(input)?, 16).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(rows: &[(&str, i64)]) -> Digest {
        let mut digest = Digest::default();
        rows.iter().for_each(|(id, version)| digest.add_row(id, *version));
        digest
    }

    #[test]
    fn order_does_not_matter_and_every_version_does() {
        assert_eq!(of(&[("1", 5), ("2", 6)]), of(&[("2", 6), ("1", 5)]));
        assert_ne!(of(&[("1", 5), ("2", 6)]), of(&[("1", 6), ("2", 5)]));
        assert_ne!(of(&[("1", 5)]), of(&[("1", 5), ("2", 6)]));
    }

    #[test]
    fn a_digest_goes_over_the_wire_without_loss() {
        let digest = Digest { rows: 3, hash: 0x00ab_cdef_0123_4567 };
        let json = serde_json::to_string(&digest).unwrap();
        assert_eq!(json, r#"{"rows":3,"hash":"00abcdef01234567"}"#);
        assert_eq!(serde_json::from_str::<Digest>(&json).unwrap(), digest);
    }

    #[test]
    fn keys_are_dealt_evenly() {
        let mut rows = vec![0; BUCKETS as usize];
        (0..102_400).for_each(|key| rows[bucket(&key.to_string()) as usize] += 1);
        assert!(rows.iter().all(|count| (50..160).contains(count)));
    }
}
