//! Apply's question: a pulled change meets the local row. Write it, pass over it, or keep it until the row is settled?

/// What the register knows about the row that a pulled change is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LocalRow {
    /// The version in the shadow; 0 when the row is unknown or was never confirmed.
    pub version: i64,
    /// Whether a local change of the row still waits in the outbox or the journal.
    pub unsent: bool,
}

/// What to do with a pulled change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Write it to the store.
    Apply,
    /// The register already has this version or a newer one.
    Pass,
    /// Keep it in the inbox: the server will merge the local change first, and its answer replaces this one.
    Hold,
}

/// Decides about one pulled change with the given id.
pub fn meet(change_id: i64, local: LocalRow) -> Arrival {
    if change_id <= local.version {
        Arrival::Pass
    } else if local.unsent {
        Arrival::Hold
    } else {
        Arrival::Apply
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unsent_local_change_is_never_overwritten() {
        assert_eq!(meet(7, LocalRow { version: 0, unsent: false }), Arrival::Apply);
        assert_eq!(meet(7, LocalRow { version: 6, unsent: true }), Arrival::Hold);
        assert_eq!(meet(7, LocalRow { version: 7, unsent: false }), Arrival::Pass);
        assert_eq!(meet(7, LocalRow { version: 9, unsent: true }), Arrival::Pass);
    }
}
