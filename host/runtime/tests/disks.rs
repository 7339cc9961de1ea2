//! What holds of every disk, on a real folder and on a simulated disk.

#![allow(clippy::disallowed_methods)] // A test of the real disk looks behind it.

use std::io::{self, BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use innkeeper_runtime::real::RealDisk;
use innkeeper_runtime::{Disk, File, Open, Real, RealConfig, Runtime, SimDisk};

fn on_real(property: impl FnOnce(RealDisk)) {
    let folder = tempfile::tempdir().expect("a folder");
    Real::run(RealConfig::default(), |rt| async move {
        let deep = folder.path().join("a/b/data");
        property(rt.disk(&deep).expect("folders are made"));
    })
    .expect("the threads start");
}

macro_rules! on_both {
    ($($name:ident)*) => {
        mod real { $(#[test] fn $name() { super::on_real(super::$name); })* }
        mod simulated {
            $(#[test] fn $name() { super::$name(innkeeper_runtime::SimDisk::new(5)); })*
        }
    };
}

on_both! {
    what_was_written_is_read
    files_grow_and_shrink_with_zeros
    preallocation_keeps_what_is_there
    the_four_ways_to_open
    names_change
    removed_files_live_on_while_open
    replace_leaves_one_whole_file
    paths_stay_inside
    errors_say_what_and_where
    the_lock_is_for_one
    private_files_are_whole_and_bounded
    syncs_are_counted
}

#[test]
fn only_regular_files_of_the_data_folder_are_opened() {
    let folder = tempfile::tempdir().expect("a folder");
    Real::run(RealConfig::default(), async |rt| {
        let disk = rt.disk(folder.path()).expect("it is there");
        for name in ["pipe", "LOCK"] {
            let made = Command::new("mkfifo")
                .arg(folder.path().join(name))
                .status();
            assert!(made.expect("mkfifo runs").success());
        }
        disk.create_folder("folder").unwrap();
        for name in ["pipe", "folder"] {
            let told = disk
                .open(name, Open::Read)
                .expect_err("it is no file")
                .to_string();
            assert!(
                told.contains(name) && told.contains("no regular file"),
                "{told}"
            );
        }
        for how in [Open::Write, Open::Create] {
            let told = disk
                .open("pipe", how)
                .expect_err("it is a pipe")
                .to_string();
            assert!(told.contains("no regular file"), "{told}");
        }
        let told = disk.lock().expect_err("it is a pipe").to_string();
        assert!(
            told.contains("LOCK") && told.contains("no regular file"),
            "{told}"
        );
    })
    .expect("the threads start");
}

fn kind<T: std::fmt::Debug>(result: io::Result<T>) -> io::ErrorKind {
    result.expect_err("this must fail").kind()
}

fn private_files_are_whole_and_bounded<D: Disk>(disk: D) {
    disk.create_private_folder("own").unwrap();
    disk.create_private_folder("own").unwrap();
    let missing = disk.read_private("own", "a", 10);
    assert_eq!(kind(missing), io::ErrorKind::NotFound);
    disk.write_private("own", "a", b"a longer text").unwrap();
    disk.write_private("own", "a", b"text").unwrap();
    assert_eq!(disk.read_private("own", "a", 4).unwrap(), b"text");
    let longer = disk.read_private("own", "a", 3);
    assert_eq!(kind(longer), io::ErrorKind::FileTooLarge);
    assert_eq!(disk.list("own").unwrap(), ["a"]);
    assert_eq!(
        kind(disk.read_private("own", "../LOCK", 10)),
        io::ErrorKind::InvalidInput
    );
    assert!(disk.write_private("nowhere", "a", b"").is_err());
}

/// What others own or may write to is not even read, whichever way it is reached.
#[test]
fn what_is_not_this_users_alone_is_refused() {
    use std::os::unix::fs::{PermissionsExt, chown, symlink};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("own");
    Real::run(RealConfig::default(), |rt| async move {
        let disk = rt.disk(folder.path()).unwrap();
        disk.create_private_folder("own").unwrap();
        disk.write_private("own", "a", b"text").unwrap();
        let file = path.join("a");
        let mode = |path: &std::path::Path, mode: u32| {
            std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
        };
        let bits =
            |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!((bits(&path), bits(&file)), (0o700, 0o600));
        let refused = || {
            let error = disk.read_private("own", "a", 10).expect_err("refused");
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{error}");
            error.to_string()
        };
        for others in [0o620, 0o602] {
            mode(&file, others);
            assert!(refused().contains("chmod go-w"));
            mode(&file, 0o600);
            mode(&path, others | 0o100);
            assert!(refused().contains("chmod go-w"));
            let written = disk.write_private("own", "b", b"");
            assert_eq!(kind(written), io::ErrorKind::PermissionDenied);
            assert_eq!(
                kind(disk.create_private_folder("own")),
                io::ErrorKind::PermissionDenied
            );
            mode(&path, 0o700);
        }
        // Reading does no harm.
        mode(&file, 0o644);
        assert_eq!(disk.read_private("own", "a", 10).unwrap(), b"text");
        // Only root can give a file away.
        if chown(&file, Some(12_345), None).is_ok() {
            assert!(refused().contains("another user"));
        }
        let target = folder.path().join("target");
        std::fs::write(&target, b"text").unwrap();
        std::fs::remove_file(&file).unwrap();
        symlink(&target, &file).unwrap();
        assert!(refused().contains("symbolic link"));
        std::fs::remove_dir_all(&path).unwrap();
        symlink(folder.path(), &path).unwrap();
        assert!(disk.read_private("own", "target", 10).is_err());
    })
    .expect("the threads start");
}

fn what_was_written_is_read<D: Disk>(disk: D) {
    let file = disk.open("log", Open::Create).unwrap();
    let data: Vec<u8> = (0..20_000_u32).map(|i| (i % 251) as u8).collect();
    file.write_at(&data, 3_000).unwrap();
    assert_eq!(file.len().unwrap(), 23_000);
    let mut read = vec![1; 30_000];
    assert_eq!(file.read_at(&mut read, 0).unwrap(), 23_000);
    assert_eq!(read[..3_000], vec![0; 3_000], "the gap is zeros");
    assert_eq!(read[3_000..23_000], data);
    assert_eq!(file.read_at(&mut read, 22_990).unwrap(), 10);
    assert_eq!(file.read_at(&mut read, 99_999).unwrap(), 0);
    let short = file.read_exact_at(&mut read, 0);
    assert_eq!(kind(short), io::ErrorKind::UnexpectedEof);
    let again = disk.open("log", Open::Read).unwrap();
    let mut middle = [0; 100];
    again.read_exact_at(&mut middle, 8_000).unwrap();
    assert_eq!(middle, data[5_000..5_100]);
}

fn files_grow_and_shrink_with_zeros<D: Disk>(disk: D) {
    let file = disk.open("f", Open::Create).unwrap();
    file.write_at(&[9; 10_000], 0).unwrap();
    file.set_len(5_000).unwrap();
    assert_eq!(file.len().unwrap(), 5_000);
    file.set_len(12_000).unwrap();
    let mut read = vec![1; 12_000];
    file.read_exact_at(&mut read, 0).unwrap();
    assert!(read[..5_000].iter().all(|byte| *byte == 9));
    assert!(read[5_000..].iter().all(|byte| *byte == 0));
}

fn preallocation_keeps_what_is_there<D: Disk>(disk: D) {
    let file = disk.open("f", Open::Create).unwrap();
    file.write_at(b"kept", 100).unwrap();
    file.preallocate(0, 1 << 20).unwrap();
    assert_eq!(file.len().unwrap(), 1 << 20);
    let mut read = [1; 8];
    file.read_exact_at(&mut read, 98).unwrap();
    assert_eq!(&read, b"\0\0kept\0\0");
    file.preallocate(0, 10).unwrap();
    assert_eq!(file.len().unwrap(), 1 << 20, "it never shrinks");
}

fn the_four_ways_to_open<D: Disk>(disk: D) {
    assert_eq!(kind(disk.open("f", Open::Read)), io::ErrorKind::NotFound);
    assert_eq!(kind(disk.open("f", Open::Write)), io::ErrorKind::NotFound);
    let file = disk.open("f", Open::CreateNew).unwrap();
    file.write_at(b"x", 0).unwrap();
    let second = disk.open("f", Open::CreateNew);
    assert_eq!(kind(second), io::ErrorKind::AlreadyExists);
    let created = disk.open("f", Open::Create).unwrap();
    assert_eq!(created.len().unwrap(), 1, "Create keeps what is there");
    disk.open("f", Open::Write)
        .unwrap()
        .write_at(b"y", 0)
        .unwrap();
    let read_only = disk.open("f", Open::Read).unwrap();
    assert!(read_only.write_at(b"z", 0).is_err());
    assert_eq!(disk.read_whole("f").unwrap(), b"y");
}

fn names_change<D: Disk>(disk: D) {
    disk.create_folder("sub").unwrap();
    disk.create_folder("sub").unwrap();
    for name in ["c", "a", "sub/b"] {
        let file = disk.open(name, Open::Create).unwrap();
        file.write_at(name.as_bytes(), 0).unwrap();
    }
    assert_eq!(disk.list("").unwrap(), ["a", "c", "sub"]);
    disk.rename("sub/b", "a").unwrap();
    assert_eq!(disk.read_whole("a").unwrap(), b"sub/b");
    disk.remove("c").unwrap();
    assert_eq!(disk.list("").unwrap(), ["a", "sub"]);
    assert_eq!(disk.list("sub").unwrap(), Vec::<String>::new());
    disk.sync_folder("").unwrap();
    disk.sync_folder("sub").unwrap();
    assert_eq!(kind(disk.remove("c")), io::ErrorKind::NotFound);
    assert_eq!(kind(disk.rename("c", "d")), io::ErrorKind::NotFound);
    assert_eq!(kind(disk.list("none")), io::ErrorKind::NotFound);
    let orphan = disk.open("none/f", Open::Create);
    assert_eq!(kind(orphan), io::ErrorKind::NotFound);
    assert_eq!(
        kind(disk.create_folder("none/deep")),
        io::ErrorKind::NotFound
    );
}

fn removed_files_live_on_while_open<D: Disk>(disk: D) {
    let file = disk.open("f", Open::Create).unwrap();
    file.write_at(b"old", 0).unwrap();
    disk.remove("f").unwrap();
    let fresh = disk.open("f", Open::CreateNew).unwrap();
    fresh.write_at(b"new", 0).unwrap();
    let mut read = [0; 3];
    file.read_exact_at(&mut read, 0).unwrap();
    assert_eq!(&read, b"old");
    assert_eq!(disk.read_whole("f").unwrap(), b"new");
}

fn replace_leaves_one_whole_file<D: Disk>(disk: D) {
    disk.create_folder("sub").unwrap();
    disk.replace("sub/vote", b"a long first content").unwrap();
    disk.replace("sub/vote", b"second").unwrap();
    assert_eq!(disk.read_whole("sub/vote").unwrap(), b"second");
    assert_eq!(disk.list("sub").unwrap(), ["vote"]);
}

fn paths_stay_inside<D: Disk>(disk: D) {
    for path in [
        "/etc/passwd",
        "../up",
        "a/../../b",
        "a//b",
        "a/",
        ".",
        "a\0b",
    ] {
        let opened = disk.open(path, Open::Create);
        assert_eq!(kind(opened), io::ErrorKind::InvalidInput, "{path:?}");
        let renamed = disk.rename(path, "x");
        assert_eq!(kind(renamed), io::ErrorKind::InvalidInput, "{path:?}");
    }
}

fn errors_say_what_and_where<D: Disk>(disk: D) {
    let error = disk.open("log/7", Open::Read).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot open log/7: No such file or directory (os error 2)"
    );
}

fn the_lock_is_for_one<D: Disk>(disk: D) {
    let lock = disk.lock().unwrap();
    let error = disk.lock().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ResourceBusy);
    let sentence = error.to_string();
    assert!(sentence.contains("is in use by another process"));
    assert!(sentence.ends_with("stop it, or use another folder"));
    drop(lock);
    disk.lock().unwrap();
}

fn syncs_are_counted<D: Disk>(disk: D) {
    let before = disk.sync_count();
    let file = disk.open("f", Open::Create).unwrap();
    file.write_at(b"x", 0).unwrap();
    assert_eq!(disk.sync_count(), before);
    file.sync().unwrap();
    disk.sync_folder("").unwrap();
    disk.clone().open("f", Open::Read).unwrap();
    assert_eq!(disk.sync_count(), before + 2);
}

/// Says to the child below which folder to lock.
const LOCK_IN: &str = "INNKEEPER_TEST_LOCK_IN";

/// Not a test by itself: what the second process of the next one runs.
#[test]
#[ignore = "run as a process of its own by the next test"]
fn hold_the_lock() {
    let Some(root) = std::env::var_os(LOCK_IN) else {
        panic!("the next test starts this as a process of its own");
    };
    Real::run(RealConfig::default(), |rt| async move {
        let disk = rt.disk(root.as_ref()).expect("a folder");
        let _lock = disk.lock().expect("free");
        println!("held");
        rt.sleep(Duration::from_secs(60)).await;
    })
    .expect("the threads start");
}

/// A second process is refused and is told who has the folder; it gets it once the first was
/// killed, which had no chance to give anything back.
#[test]
fn a_second_process_is_refused_until_the_first_is_killed() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut other = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "hold_the_lock", "--ignored", "--nocapture"])
        .env(LOCK_IN, folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let said = BufReader::new(other.stdout.take().expect("piped"));
    let held = said
        .lines()
        .map_while(Result::ok)
        .any(|line| line.contains("held"));
    assert!(held, "the first process has the lock");
    Real::run(RealConfig::default(), |rt| async move {
        let disk = rt.disk(folder.path()).expect("a folder");
        let error = disk.lock().expect_err("held");
        assert_eq!(error.kind(), io::ErrorKind::ResourceBusy);
        assert_eq!(
            error.to_string(),
            format!(
                "the data folder {} is in use by another process (process {}): stop it, or use another folder",
                folder.path().display(),
                other.id()
            )
        );
        other.kill().expect("it runs");
        other.wait().expect("it ends");
        disk.lock().expect("the kernel gave it back");
    })
    .expect("the threads start");
}

#[test]
fn a_simulated_disk_in_a_runtime_is_the_mounted_one() {
    let disk = SimDisk::new(1);
    disk.replace("f", b"from before").unwrap();
    let mut sim = innkeeper_runtime::Sim::new(2);
    sim.mount("/data", disk);
    sim.block_on(|rt| async move {
        let mounted = rt.disk("/data".as_ref()).unwrap();
        assert_eq!(mounted.read_whole("f").unwrap(), b"from before");
        let other = rt.disk("/other".as_ref()).unwrap();
        assert_eq!(other.list("").unwrap(), Vec::<String>::new());
    });
}
