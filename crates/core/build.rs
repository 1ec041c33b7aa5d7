//! Lists the catalogues of `locales`, so that adding a language is adding a file.

use std::path::Path;
use std::{env, fs};

fn main() {
    let folder = Path::new(&env::var_os("CARGO_MANIFEST_DIR").expect("cargo says where the package is")).join("locales");
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut files: Vec<_> = fs::read_dir(&folder).expect("the catalogues are there").flatten().map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|ending| ending == "ftl"));
    files.sort();
    let lines = files.iter().map(|file| {
        let code = file.file_stem().and_then(|code| code.to_str()).expect("a catalogue is named after its language");
        format!("    ({code:?}, include_str!({file:?})),\n")
    });
    let list = format!("&[\n{}]\n", lines.collect::<String>());
    let out = Path::new(&env::var_os("OUT_DIR").expect("cargo says where to write")).join("catalogues.rs");
    fs::write(out, list).expect("the list is written");
}
