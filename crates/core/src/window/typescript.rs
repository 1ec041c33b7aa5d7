//! The TypeScript side of the boundary is what these types say.

use std::path::Path;

use ts_rs::{Config, TS};

use super::{
    Activity, Ask, Column, Conflict, ConflictKind, Decided, Found, FullSync, Happening, Hour, Keep, Parked, Reply, Secret, SetUp,
    Setting, Shell, ShellReply, Side, Status, Table, Way,
};
use crate::problem::{Argument, Problem, Severity};
use crate::status::{Sentence, State};

fn declaration<T: TS>(config: &Config) -> String {
    format!("export {}\n", T::decl(config))
}

#[test]
fn the_windows_types_are_up_to_date() {
    let config = Config::new().with_large_int("number");
    let types = [
        declaration::<Severity>,
        declaration::<Argument>,
        declaration::<Problem>,
        declaration::<State>,
        declaration::<Sentence>,
        declaration::<FullSync>,
        declaration::<Status>,
        declaration::<Happening>,
        declaration::<Activity>,
        declaration::<Hour>,
        declaration::<Parked>,
        declaration::<Way>,
        declaration::<Table>,
        declaration::<ConflictKind>,
        declaration::<Column>,
        declaration::<Conflict>,
        declaration::<Side>,
        declaration::<Keep>,
        declaration::<Decided>,
        declaration::<Ask>,
        declaration::<Reply>,
        declaration::<Found>,
        declaration::<Secret>,
        declaration::<SetUp>,
        declaration::<Setting>,
        declaration::<Shell>,
        declaration::<ShellReply>,
    ];
    let head = "// Written by `TILLSYNC_WRITE_TYPES=1 cargo test -p tillsync-core the_windows_types`; do not edit.\n\n";
    let wanted = head.to_owned() + &types.map(|declaration| declaration(&config)).join("\n");
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ui/src/backend/types.ts");
    if std::env::var_os("TILLSYNC_WRITE_TYPES").is_some() {
        std::fs::write(&file, &wanted).unwrap();
    }
    assert!(std::fs::read_to_string(&file).unwrap_or_default() == wanted, "{} is stale: {head}", file.display());
}
