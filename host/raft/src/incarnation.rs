//! The data folder's id, in a file of its own.
//!
//! A node whose folder was emptied has forgotten its votes and what it had acknowledged. It must
//! not look like the node that it was, so each folder has an id of its own, which the node tells
//! its peers.

use std::io;

use innkeeper_runtime::{Disk, Runtime};

use crate::peer::Incarnation;

/// The file's name. It has the id in 32 hexadecimal digits and a newline.
const FILE: &str = "incarnation";

/// The folder's incarnation. A folder without one gets one, which is durable when
/// [`Disk::settled`] has returned. Blocks.
pub(crate) fn of_folder<R: Runtime>(runtime: &R, disk: &R::Disk) -> io::Result<Incarnation> {
    match disk.read_whole(FILE) {
        Ok(content) => read(&content).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!(
                    "the file {FILE} does not hold 32 hexadecimal digits: restore it from a backup, or empty the folder and let the node join its group anew"
                ),
            )
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut bytes = [0; 16];
            runtime.fill_random(&mut bytes);
            let drawn = Incarnation(bytes);
            disk.replace(FILE, format!("{drawn}\n").as_bytes())?;
            Ok(drawn)
        }
        Err(error) => Err(error),
    }
}

fn read(content: &[u8]) -> Option<Incarnation> {
    let text = std::str::from_utf8(content).ok()?.strip_suffix('\n')?;
    if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    Some(Incarnation(
        u128::from_str_radix(text, 16).ok()?.to_be_bytes(),
    ))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use innkeeper_runtime::Sim;

    use super::*;

    #[test]
    fn a_folder_keeps_its_incarnation_and_an_emptied_one_gets_another() {
        Sim::run(7, async |runtime| {
            let disk = runtime.disk(Path::new("/data")).unwrap();
            let first = of_folder(&runtime, &disk).unwrap();
            assert_eq!(of_folder(&runtime, &disk).unwrap(), first);
            disk.remove(FILE).unwrap();
            assert_ne!(of_folder(&runtime, &disk).unwrap(), first);
            disk.replace(FILE, b"0123").unwrap();
            let error = of_folder(&runtime, &disk).unwrap_err();
            assert!(error.to_string().contains("32 hexadecimal digits"));
        });
    }
}
