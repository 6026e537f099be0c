//! Writes the seeds of every target: `seeds FOLDER` makes `FOLDER/<target>/<number>`.

use std::io::{Error, ErrorKind};
use std::path::PathBuf;

fn main() -> std::io::Result<()> {
    let folder = std::env::args_os().nth(1).map(PathBuf::from);
    let folder =
        folder.ok_or_else(|| Error::new(ErrorKind::InvalidInput, "usage: seeds FOLDER"))?;
    for target in whence_fuzz::laws::TARGETS {
        let folder = folder.join(target.name);
        std::fs::create_dir_all(&folder)?;
        for (number, seed) in (target.seeds)().into_iter().enumerate() {
            std::fs::write(folder.join(number.to_string()), seed)?;
        }
    }
    Ok(())
}
