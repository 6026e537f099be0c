//! What the fuzz targets share: the laws that every input must keep, and valid inputs to start from.
//!
//! The test suite of the main crate includes both files, so that they cannot rot.

pub mod laws;
pub mod seeds;

/// Writes the seeds of a target into the folder that `WHENCE_FUZZ_SEEDS` names, if it does. libFuzzer
/// reads its corpus after that.
pub fn write_seeds(name: &str) {
    let Some(folder) = std::env::var_os("WHENCE_FUZZ_SEEDS").map(std::path::PathBuf::from) else {
        return;
    };
    let target = laws::TARGETS.iter().find(|target| target.name == name);
    let seeds = (target.expect("a target of this name").seeds)();
    for (number, seed) in seeds.into_iter().enumerate() {
        std::fs::write(folder.join(number.to_string()), seed).expect("the folder can be written");
    }
}
