//! Cheap checks of the project's own files.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A longer file is two files.
const LINES_MAX: usize = 600;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// Files that git knows, with their text.
fn files(endings: &[&str]) -> Vec<(PathBuf, String)> {
    let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(root()).output().unwrap();
    assert!(listed.status.success(), "git lists the project's files");
    let names = String::from_utf8(listed.stdout).unwrap();
    let wanted = names.split('\0').filter(|name| endings.iter().any(|ending| name.ends_with(ending)));
    wanted.filter_map(|name| fs::read_to_string(root().join(name)).ok().map(|text| (PathBuf::from(name), text))).collect()
}

/// Every line of every file that is wrong.
#[track_caller]
fn none(endings: &[&str], wrong: impl Fn(&Path, &str) -> bool) {
    let mut found = Vec::new();
    for (path, text) in files(endings) {
        let lines = text.lines().enumerate().filter(|(_, line)| wrong(&path, line));
        found.extend(lines.map(|(number, line)| format!("{}:{}: {}", path.display(), number + 1, line.trim())));
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn files_are_short_enough_to_read() {
    let long: Vec<String> = files(&[".rs"])
        .iter()
        .map(|(path, text)| (path, text.lines().count()))
        .filter(|(_, lines)| *lines > LINES_MAX)
        .map(|(path, lines)| format!("{} has {lines} lines", path.display()))
        .collect();
    assert!(long.is_empty(), "{}", long.join("\n"));
}

#[test]
fn nothing_is_left_undone() {
    let undone = [concat!("todo", "!("), concat!("unimplemented", "!("), concat!("#[", "ignore"), concat!("dbg", "!(")];
    none(&[".rs"], |_, line| undone.iter().any(|word| line.contains(word)));
}

#[test]
fn no_path_of_a_developers_machine() {
    let paths = [concat!("/wo", "rk/"), concat!("/ho", "me/"), concat!("/ro", "ot/")];
    none(&[".rs", ".toml", ".md", ".sh", ".yml", ".sql"], |_, line| paths.iter().any(|path| line.contains(path)));
    let outside = concat!("../sha", "red");
    none(&[".rs", ".toml", ".md"], |path, line| !path.starts_with("xtask") && line.contains(outside));
}

#[test]
fn every_source_file_says_what_it_is() {
    let silent: Vec<String> = files(&[".rs"])
        .iter()
        .filter(|(path, _)| path.components().any(|part| part.as_os_str() == "src"))
        .filter(|(_, text)| !text.starts_with("//!"))
        .map(|(path, _)| path.display().to_string())
        .collect();
    assert!(silent.is_empty(), "no module documentation in {silent:?}");
}

#[test]
fn commands_in_the_documents_exist() {
    let programs = [("cargo xtask", xtask()), ("tillsync-hub", help("tillsync-hub")), ("tillsync", help("tillsync"))];
    for (path, text) in files(&[".md"]) {
        for (program, help) in &programs {
            for command in commands_of(&text, program) {
                let known = help.lines().any(|line| line.split_whitespace().next() == Some(command));
                assert!(known, "{}: `{program} {command}` does not exist", path.display());
            }
        }
    }
}

fn help(program: &str) -> String {
    crate::stories::support::end(Command::new(crate::stories::support::program(program)).arg("--help")).good().out
}

/// The tasks of xtask as its help would list them; asking cargo would wait for the build that runs this test.
fn xtask() -> String {
    let source = fs::read_to_string(root().join("xtask/src/main.rs")).unwrap();
    let (_, tasks) = source.split_once("enum Task {").unwrap();
    let (tasks, _) = tasks.split_once("\n}").unwrap();
    let names = tasks.lines().filter_map(|line| line.strip_prefix("    ")).filter(|line| line.starts_with(char::is_uppercase));
    let words = names.map(|line| line.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default());
    words.map(kebab).collect::<Vec<_>>().join("\n")
}

fn kebab(name: &str) -> String {
    let spread = name.chars().enumerate().map(|(place, c)| match c {
        'A'..='Z' if place > 0 => format!("-{}", c.to_ascii_lowercase()),
        c => c.to_ascii_lowercase().to_string(),
    });
    spread.collect()
}

/// Words after a program's name at the start of a line of a code block or of inline code.
fn commands_of<'a>(text: &'a str, program: &str) -> Vec<&'a str> {
    let start = format!("{program} ");
    let pieces = text.lines().flat_map(|line| line.split('`')).map(str::trim_start);
    let after = pieces.filter_map(|piece| piece.trim_start_matches("$ ").strip_prefix(&start));
    let words = after.filter_map(|rest| rest.split_whitespace().next());
    words
        .filter(|word| word.starts_with(|c: char| c.is_ascii_lowercase()) && !word.contains('='))
        .map(|word| word.trim_end_matches([',', '.', ';', ':', ')']))
        .collect()
}
