//! The command line as scripts and packagers use it: flags in any place, JSON, times, completion,
//! manual pages, and the content of the binary.

use std::path::Path;
use std::process::Output;

use super::*;

/// Runs the binary with environment variables.
fn with_variables(arguments: &[&str], variables: &[(&str, &str)]) -> Done {
    let mut command = Command::new(env!("CARGO_BIN_EXE_innkeeper"));
    command.args(arguments).env_remove("INNKEEPER_SUPER");
    command.env_remove("INNKEEPER_DATA");
    command.envs(variables.iter().copied());
    let Output {
        status,
        stdout,
        stderr,
    } = command.stdin(Stdio::null()).output().unwrap();
    Done {
        code: status.code().unwrap(),
        stdout,
        stderr: String::from_utf8(stderr).unwrap(),
    }
}

impl Done {
    /// The JSON output of a command that succeeded.
    fn json(&self) -> Value {
        let text = self.text();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// The JSON error of a command that failed.
    fn error(&self) -> String {
        assert_eq!((self.code, self.stdout.len()), (1, 0), "{}", self.stderr);
        let error: Value = serde_json::from_str(&self.stderr).unwrap();
        assert_eq!(error.as_object().unwrap().len(), 1, "{error}");
        error["error"].as_str().unwrap().to_owned()
    }
}

/// A time in RFC 3339, in UTC, with milliseconds.
fn is_time(time: &Value) -> bool {
    let time = time.as_str().unwrap_or_default();
    let shape: String = time
        .chars()
        .map(|at| if at.is_ascii_digit() { '0' } else { at })
        .collect();
    shape == "0000-00-00T00:00:00.000Z" && time.starts_with("20")
}

#[test]
fn flags_stand_before_or_behind_and_the_environment_names_the_data() {
    let bench = Bench::start();
    let data = bench.data.to_str().unwrap();
    let nowhere = bench.files.path().to_str().unwrap();
    let node = bench.running.node.as_ref().unwrap();
    let http = node.http().unwrap().to_string();
    let variable = [("INNKEEPER_DATA", data)];
    let other = [("INNKEEPER_DATA", nowhere)];
    for (arguments, variables) in [
        (&["--data", data, "znode", "ls", "/"][..], &[][..]),
        (&["znode", "--data", data, "ls", "/"], &[]),
        (&["znode", "ls", "/", "--data", data], &other),
        (&["znode", "ls", "/"], &variable),
        (
            &["--http", &http, "--super", SUPER, "znode", "ls", "/"],
            &other,
        ),
        (
            &["znode", "--super", SUPER, "ls", "/", "--http", &http],
            &[],
        ),
    ] {
        let listed = with_variables(arguments, variables).text();
        assert!(listed.contains("zookeeper"), "{arguments:?}: {listed}");
    }
    let missing = with_variables(&["status"], &other);
    assert!(missing.sentence().contains(nowhere), "{}", missing.stderr);
    let both = with_variables(&["status", "--http", &http, "--data", data], &[]);
    assert!(
        both.sentence().contains("give one of them"),
        "{}",
        both.stderr
    );
}

#[test]
fn every_command_prints_json_for_programs() {
    let bench = Bench::start();
    let ask = |arguments: &[&str]| bench.ask(&[&["--json"], arguments].concat());
    let fresh = ask(&["status"]).json();
    assert!(
        is_time(&fresh["started"]) && fresh["time"].is_null(),
        "{fresh}"
    );
    for (arguments, member) in [
        (&["znode", "create", "/a", "x"][..], "path"),
        (&["znode", "get", "/a"], "data"),
        (&["znode", "set", "/a", "y"], "stat"),
        (&["znode", "set-acl", "/a", "world:anyone:cdrwa"], "zxid"),
        (&["znode", "ls", "/"], "children"),
        (&["module", "list"], "modules"),
        (&["binding", "list"], "bindings"),
        (&["binding", "status"], "bindings"),
        (&["guest", "list"], "guests"),
        (&["digest", SUPER], "digest"),
        (&["completion", "bash"], "script"),
        (&["man"], "page"),
    ] {
        let answer = ask(arguments).json();
        assert!(answer.get(member).is_some(), "{arguments:?}: {answer}");
    }
    let status = ask(&["status"]).json();
    assert!(is_time(&status["time"]), "{status}");
    let stat = ask(&["znode", "stat", "/a"]).json();
    assert!(
        is_time(&stat["created"]) && is_time(&stat["modified"]),
        "{stat}"
    );
    let shown = bench.ask(&["znode", "stat", "/a"]).text();
    let created = stat["created"].as_str().unwrap();
    assert!(
        shown.contains(&format!("created       {created} at zxid 0x")),
        "{shown}"
    );
    assert!(
        ask(&["znode", "delete", "/a"]).json()["zxid"].is_u64(),
        "{stat}"
    );

    let module = guest_path("test-hostile");
    let module = module.to_str().unwrap();
    let pushed = ask(&["module", "push", module]).json();
    assert!(pushed["module"].as_str().unwrap().starts_with("sha256:"));
    let file = bench.file("good.json", hostile("none"));
    let set = ask(&["binding", "set", "a", &file, "--module", module]).json();
    assert_eq!(set["first"]["ended"], "well", "{set}");
    let named = json!({
        "world": "recipe", "module": pushed["module"], "watch": ["/in"], "write": ["/out"],
        "config": {"out": "/out"},
    });
    let named = bench.file("named.json", named.to_string());
    let checked = ask(&["binding", "check", "a", &named]).json();
    assert_eq!(
        (&checked["checked"], &checked["module"]),
        (&"whole".into(), &pushed["module"])
    );
    let trap = bench.file("trap.json", hostile("trap"));
    let failed = ask(&["binding", "set", "b", &trap, "--module", module]);
    assert!(failed.error().contains("panicked"), "{}", failed.stderr);
    let status = ask(&["binding", "status", "b"]).json();
    assert!(is_time(&status["last_error_at"]), "{status}");
    let shown = bench.ask(&["binding", "status", "b"]).text();
    let at = status["last_error_at"].as_str().unwrap();
    assert!(shown.contains(&at[..16]), "{shown}");
    assert_eq!(ask(&["binding", "delete", "b"]).json()["name"], "b");
}

#[test]
fn errors_are_json_where_json_is_wanted() {
    let bench = Bench::start();
    let missing = bench.ask(&["znode", "get", "/none", "--json"]);
    assert!(missing.error().contains("there is no znode `/none`"));
    let nowhere = bench.files.path().to_str().unwrap();
    let form = bench.file(
        "form.json",
        json!({"world": "assignor", "module": UNKNOWN}).to_string(),
    );
    let checked = with_variables(
        &["binding", "check", &form, "--data", nowhere, "--json"],
        &[],
    );
    let checked = checked.json();
    assert_eq!(
        (&checked["checked"], &checked["module"]),
        (&"form".into(), &UNKNOWN.into())
    );
    let misread = with_variables(&["binding", "check", "--json"], &[]);
    assert_eq!(misread.code, 2);
    let error: Value = serde_json::from_str(&misread.stderr).unwrap();
    let error = error["error"].as_str().unwrap();
    assert!(
        error.contains("<FILE>") && !error.contains('\n'),
        "{error:?}"
    );
}

/// The answer to a refused write explains it, without referring to the node's log.
#[test]
fn a_write_that_is_refused_is_explained_in_its_answer() {
    let bench = Bench::start();
    for (arguments, words) in [
        (&["znode", "delete", "/"][..], "belongs to ZooKeeper itself"),
        (
            &["znode", "delete", "/zookeeper/quota"],
            "belongs to ZooKeeper itself",
        ),
        (
            &["znode", "create", "/innkeeper/bindings/a", "{}"],
            "`world`",
        ),
        (
            &["znode", "create", "/innkeeper/bindings/A", "{}"],
            "cannot name a binding",
        ),
    ] {
        // The first push makes the folder of the bindings.
        bench.ask(&["znode", "create", "/innkeeper"]);
        bench.ask(&["znode", "create", "/innkeeper/bindings"]);
        let refused = bench.ask(arguments);
        let sentence = refused.sentence();
        assert!(sentence.contains(words), "{arguments:?}: {sentence}");
        assert!(!sentence.contains("log"), "{arguments:?}: {sentence}");
    }
}

#[test]
fn shells_complete_it_and_man_shows_it() {
    for (shell, marks) in [
        ("bash", "complete -F"),
        ("zsh", "#compdef innkeeper"),
        ("fish", "complete -c innkeeper"),
    ] {
        let script = innkeeper(&["completion", shell], b"").text();
        assert!(script.contains(marks), "{script}");
        for command in ["binding", "set-acl", "log-format", "completion"] {
            assert!(script.contains(command), "{shell}: {command}");
        }
        assert!(!script.contains("compile-module") && !script.contains("demo-part"));
    }
    let unknown = with_variables(&["completion", "csh"], &[]);
    assert_eq!(unknown.code, 2);
    assert!(unknown.stderr.contains("fish"), "{}", unknown.stderr);
    let page = innkeeper(&["man"], b"").text();
    assert!(
        page.contains(".TH innkeeper 1") && page.contains(".SH SYNOPSIS"),
        "{page}"
    );
    assert!(!page.contains("compile\\-module"), "{page}");
    let page = innkeeper(&["man", "binding", "check"], b"").text();
    assert!(
        page.contains(".TH innkeeper\\-binding\\-check 1")
            || page.contains(".TH innkeeper-binding-check 1"),
        "{page}"
    );
    let none = innkeeper(&["man", "nothing"], b"");
    assert!(none.sentence().contains("no command `nothing`"));
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    innkeeper(&["man", "--dir", folder.to_str().unwrap()], b"").text();
    for page in ["innkeeper.1", "innkeeper-serve.1", "innkeeper-znode-get.1"] {
        let page = std::fs::read_to_string(folder.join(page)).unwrap();
        assert!(page.contains("INNKEEPER_DATA"), "{page}");
    }
    assert!(!folder.join("innkeeper-compile-module.1").exists());
}

#[test]
fn an_example_is_a_document_that_is_taken() {
    let names = innkeeper(&["guest", "list", "--json"], b"").json();
    let names: Vec<String> = names["guests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|guest| guest["name"].as_str().unwrap().to_owned())
        .collect();
    assert!(
        !names.is_empty(),
        "the binary carries no guests: build it with `make`"
    );
    let bench = Bench::start();
    let nowhere = ["--data", bench.files.path().to_str().unwrap()];
    bench.ask(&["guest", "push", "--all"]).text();
    for name in &names {
        let document = innkeeper(&["guest", "example", name], b"").text();
        let file = bench.file("example.json", &document);
        let form = innkeeper(&[&["binding", "check", &file][..], &nowhere].concat(), b"");
        assert!(form.text().contains("form is good"));
        let whole = bench.ask(&["binding", "check", name, &file]).text();
        assert!(whole.starts_with("the document is good: "), "{whole}");
    }
    // A complete document, used from its check to its activation.
    let document = innkeeper(&["guest", "example", "sticky"], b"").text();
    let data = bench.data.to_str().unwrap();
    let set = innkeeper(
        &["binding", "set", "sticky", "-", "--data", data],
        document.as_bytes(),
    );
    assert!(set.text().contains("it runs when a recipe calls it"));
    let unknown = innkeeper(&["guest", "example", "grupo"], b"");
    for name in &names {
        assert!(unknown.sentence().contains(name.as_str()), "{name}");
    }
}

/// Whether a file's bytes contain these bytes.
fn holds(file: &[u8], wanted: &[u8]) -> bool {
    // Most positions differ in the first byte, which is searched for without comparing the rest.
    let first = wanted[0];
    let last = file.len().saturating_sub(wanted.len());
    let mut at = 0;
    while let Some(found) = file[at..=last].iter().position(|byte| *byte == first) {
        at += found;
        if file[at..].starts_with(wanted) {
            return true;
        }
        at += 1;
        if at > last {
            break;
        }
    }
    false
}

#[test]
fn no_guest_of_the_tests_is_in_the_binary() {
    let shown = guest_path("range");
    let binary = std::fs::read(env!("CARGO_BIN_EXE_innkeeper")).unwrap();
    // The same search finds the names of guests that the binary does carry.
    assert!(holds(&binary, &std::fs::read(&shown).unwrap()));
    let mut found = 0;
    for file in std::fs::read_dir(shown.parent().unwrap()).unwrap() {
        let file = file.unwrap().path();
        let name = file.file_stem().unwrap().to_str().unwrap();
        if !name.starts_with("test-") {
            continue;
        }
        found += 1;
        assert!(!holds(&binary, name.as_bytes()), "the name of {name}");
        let content = std::fs::read(&file).unwrap();
        assert!(!holds(&binary, &content), "the content of {name}");
    }
    assert!(found >= 8, "{found} guests of the tests");
}

/// Runs `scripts/strip.sh` for a file, and says what it wrote to stderr.
fn strip(file: &Path, change: impl FnOnce(&mut Command)) -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scripts/strip.sh");
    let mut command = Command::new(script);
    command.arg(file);
    change(&mut command);
    let stripped = command.output().unwrap();
    let said = String::from_utf8(stripped.stderr).unwrap();
    assert!(stripped.status.success(), "{said}");
    said
}

#[test]
fn without_objcopy_a_binary_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let commands = folder.path().join("commands");
    std::fs::create_dir(&commands).unwrap();
    for command in ["basename", "dirname"] {
        let path = std::env::var_os("PATH").unwrap();
        let mut all = std::env::split_paths(&path).map(|folder| folder.join(command));
        let found = all.find(|file| file.is_file()).unwrap();
        std::os::unix::fs::symlink(found, commands.join(command)).unwrap();
    }
    let file = folder.path().join("innkeeper");
    std::fs::write(&file, "a binary").unwrap();
    let said = strip(&file, |command| {
        command.env("PATH", &commands);
    });
    assert!(said.contains("objcopy is missing"), "{said}");
    assert_eq!(std::fs::read(&file).unwrap(), b"a binary");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
}

/// The linker comes with binutils, and so does objcopy: a machine that builds this has it.
#[test]
fn a_stripped_binary_is_small_and_its_debug_information_lies_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("innkeeper");
    std::fs::copy(env!("CARGO_BIN_EXE_innkeeper"), &file).unwrap();
    let cargos_own = folder.path().join("deps");
    std::fs::hard_link(&file, &cargos_own).unwrap();
    let before = std::fs::metadata(&file).unwrap().len();
    let said = strip(&file, |_| {});
    assert!(
        !said.contains("objcopy is missing"),
        "install the package binutils: {said}"
    );
    let after = std::fs::metadata(&file).unwrap().len();
    let debug = std::fs::metadata(folder.path().join("innkeeper.debug")).unwrap();
    assert!(
        after < before / 2 && debug.len() > after,
        "{before} {after}"
    );
    assert_eq!(std::fs::metadata(&cargos_own).unwrap().len(), before);
    assert!(holds(&std::fs::read(&file).unwrap(), b"innkeeper.debug\0"));
    let version = Command::new(&file).arg("--version").output().unwrap();
    assert!(version.stdout.starts_with(b"innkeeper "), "{version:?}");
}
