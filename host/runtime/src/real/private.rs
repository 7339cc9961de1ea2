//! Private folders and files, which belong to the user of this process alone.
//!
//! All checks are made on open files and not on paths: the folder is opened and checked, and then
//! its files are opened relative to it. So no other user can put another folder or a link in the
//! place of the folder that was checked.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, Stat, fstat, mkdir, open, openat, renameat, unlinkat,
};
use rustix::io::Errno;
use rustix::process::geteuid;

/// The bits of a mode that allow users other than the owner to write.
const OTHERS_WRITE: Mode = Mode::WGRP.union(Mode::WOTH);

/// The ending of a file's name until the file is complete.
const UNFINISHED: &str = ".new";

pub(super) fn create_folder(folder: &Path) -> io::Result<()> {
    match mkdir(folder, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => open_folder(folder).map(|_| ()),
        Err(error) => Err(error.into()),
    }
}

pub(super) fn read(folder: &Path, name: &str, bytes_max: u64) -> io::Result<Vec<u8>> {
    let folder = open_folder(folder)?;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = openat(&folder, name, flags, Mode::empty()).map_err(link_or_other)?;
    let stat = fstat(&file)?;
    check(&stat, FileType::RegularFile, "the file")?;
    if u64::try_from(stat.st_size).unwrap_or(u64::MAX) > bytes_max {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it has more than {bytes_max} bytes"),
        ));
    }
    let mut content = Vec::new();
    // Only `bytes_max` bytes are read, even if the file grows meanwhile.
    File::from(file).take(bytes_max).read_to_end(&mut content)?;
    Ok(content)
}

pub(super) fn write(folder: &Path, name: &str, content: &[u8]) -> io::Result<()> {
    let folder = open_folder(folder)?;
    let unfinished = format!("{name}{UNFINISHED}");
    match unlinkat(&folder, unfinished.as_str(), AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(error) => return Err(error.into()),
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mode = Mode::RUSR | Mode::WUSR;
    let mut file = File::from(openat(&folder, unfinished.as_str(), flags, mode)?);
    file.write_all(content)?;
    drop(file);
    Ok(renameat(&folder, unfinished.as_str(), &folder, name)?)
}

fn open_folder(folder: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = open(folder, flags, Mode::empty()).map_err(link_or_other)?;
    check(&fstat(&folder)?, FileType::Directory, "the folder")?;
    Ok(folder)
}

/// Replaces the kernel's message about a symbolic link by a more helpful one.
fn link_or_other(error: Errno) -> io::Error {
    match error {
        Errno::LOOP => refused("it is a symbolic link, which is not followed here; remove it"),
        error => error.into(),
    }
}

/// Refuses a file or folder that another user owns or may write.
fn check(stat: &Stat, wanted: FileType, what: &str) -> io::Result<()> {
    if FileType::from_raw_mode(stat.st_mode) != wanted {
        return Err(refused("it is neither a file nor a folder; remove it"));
    }
    if stat.st_uid != geteuid().as_raw() {
        return Err(refused(&format!(
            "{what} belongs to another user; remove it, or give it to the user who runs the node"
        )));
    }
    if Mode::from_raw_mode(stat.st_mode).intersects(OTHERS_WRITE) {
        return Err(refused(&format!(
            "{what} can be written by others than its owner; remove it, or take that right away (chmod go-w)"
        )));
    }
    Ok(())
}

fn refused(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, why)
}
