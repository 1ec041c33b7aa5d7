//! For ordinary tests: the seeds, and damaged forms of them, always the same ones.

use std::fs;
use std::path::Path;

use fastrand::Rng;

/// The seeds of a target, and words that turn up in them.
pub struct Seeds {
    seeds: Vec<(String, Vec<u8>)>,
    words: Vec<Vec<u8>>,
    random: Rng,
}

impl Seeds {
    /// From the folder of the fuzz targets.
    pub fn read(fuzz: &Path, target: &str) -> Self {
        let folder = fuzz.join("seeds").join(target);
        let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())).flatten();
        let read = |file: fs::DirEntry| (file.file_name().to_string_lossy().into_owned(), fs::read(file.path()).unwrap());
        let mut seeds: Vec<_> = files.map(read).collect();
        seeds.sort();
        let dictionary = fs::read_to_string(fuzz.join("json.dict")).unwrap();
        let quoted = dictionary.lines().filter_map(|line| line.strip_prefix('"')?.strip_suffix('"'));
        let words = quoted.map(|word| word.replace("\\\"", "\"").replace("\\\\", "\\").into_bytes()).collect();
        Self { seeds, words, random: Rng::with_seed(1) }
    }

    /// Each seed, and so many damaged forms of it, by the seed's name.
    pub fn each(mut self, damaged: usize, mut act: impl FnMut(&str, &[u8])) {
        for (name, seed) in self.seeds.clone() {
            act(&name, &seed);
            for _ in 0..damaged {
                let mut bytes = seed.clone();
                self.damage(&mut bytes);
                act(&name, &bytes);
            }
        }
    }

    /// Cuts, flips, puts in, doubles and crosses.
    fn damage(&mut self, bytes: &mut Vec<u8>) {
        let Self { seeds, words, random } = self;
        for _ in 0..random.usize(1..5) {
            let (one, two) = (random.usize(0..=bytes.len()), random.usize(0..=bytes.len()));
            let (from, to) = (one.min(two), one.max(two));
            match random.u8(0..6) {
                0 => bytes.truncate(one),
                1 => drop(bytes.drain(from..to.min(from + 16))),
                2 if one < bytes.len() => bytes[one] = random.u8(..),
                3 => drop(bytes.splice(from..to.min(from + 12), words[random.usize(..words.len())].iter().copied())),
                4 => {
                    let piece = bytes[from..to].to_vec();
                    drop(bytes.splice(one..one, piece));
                }
                _ => {
                    let other = &seeds[random.usize(..seeds.len())].1;
                    let cut = random.usize(0..=other.len());
                    drop(bytes.splice(one.., other[cut..].iter().copied()));
                }
            }
        }
    }
}
