//! What the fuzz targets run, over their seeds and damaged forms of them: any bytes are understood or refused.

#[path = "../../../fuzz/src/seeds.rs"]
mod seeds;
#[path = "../../../fuzz/src/decoders.rs"]
mod targets;

use std::collections::BTreeSet;
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use seeds::Seeds;

/// So many damaged forms of each seed are tried: some seconds for all.
const DAMAGED: usize = 1_000;

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("fuzz")
}

#[test]
fn every_decoder_survives_anything() {
    for (target, decode) in targets::ALL {
        Seeds::read(&fuzz(), target).each(DAMAGED, |name, bytes| {
            let survived = catch_unwind(|| decode(bytes)).is_ok();
            assert!(survived, "{target} does not survive what {name} became: {}", bytes.escape_ascii());
        });
    }
}

#[test]
fn targets_seeds_and_decoders_belong_together() {
    let decoders: BTreeSet<String> = targets::ALL.iter().map(|(name, _)| (*name).to_owned()).collect();
    let names = |folder: &str| -> BTreeSet<String> {
        let files = fs::read_dir(fuzz().join(folder)).unwrap().flatten();
        files.map(|file| file.path().file_stem().unwrap().to_string_lossy().into_owned()).collect()
    };
    assert_eq!(names("seeds"), decoders);
    assert_eq!(names("fuzz_targets"), decoders);
    let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
    for name in &decoders {
        assert!(manifest.contains(&format!("name = \"{name}\"\npath = \"fuzz_targets/{name}.rs\"")), "{name} is not built");
    }
}
