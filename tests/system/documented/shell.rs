//! What the docs show for a shell, and the files that the command reads.

use std::path::Path;
use std::process::{Command, Stdio};

use rendez::NodeName;

use super::{Kind, of};
use crate::support::Lan;
use crate::support::cli::{Done, run};

/// Runs a script on the network that leads nowhere, with `rendez` in the path. A command that stays is ended by SIGTERM
/// after two seconds; the test fails only if it rejects its words before.
fn shell(lan: &Lan, folder: &Path, script: &str) -> Done {
    let tools = folder.join("bin");
    std::fs::create_dir_all(&tools).expect("a folder");
    let link = tools.join("rendez");
    if !link.exists() {
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_rendez"), &link).expect("a link");
    }
    let [program, words @ ..] = lan.enter(1);
    let mut command = Command::new(program);
    command
        .args(words)
        .args([
            "timeout",
            "--preserve-status",
            "-s",
            "TERM",
            "2",
            "sh",
            "-ec",
            script,
        ])
        .current_dir(folder)
        .env_clear()
        .env(
            "PATH",
            format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", tools.display()),
        )
        .env("HOME", folder)
        .env("RENDEZ_COOKIE", "secret")
        .env("POD_IP", "10.244.1.7")
        .env("FLY_APP_NAME", "myapp")
        .env("FLY_PRIVATE_IP", "fdaa:0:1:a7b:1::2")
        .stdin(Stdio::null());
    run(&mut command)
}

/// The files that the docs speak of, below a folder of the test's own.
fn place_files(folder: &Path, text: &str) -> String {
    for (path, content) in [
        ("etc/rendez/peers", "myapp@10.0.0.7\n"),
        ("etc/rendez/hosts.erlang", "'10.0.0.7'.\n"),
        ("usr/local/bin/peers", "#!/bin/sh\necho myapp@10.0.0.7\n"),
    ] {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("folders");
        std::fs::write(&path, content).expect("a file");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&path, mode).expect("its mode");
    }
    let at = folder.display();
    text.replace(" /etc/rendez/", &format!(" {at}/etc/rendez/"))
        .replace("\"/usr/local/bin/", &format!("\"{at}/usr/local/bin/"))
}

/// The lines of a block, those with a `\` at their end joined with the next.
fn commands(text: &str) -> Vec<String> {
    let joined = text.replace("\\\n", " ");
    joined
        .lines()
        .filter(|line| line.starts_with("rendez ") || line.starts_with("RENDEZ_"))
        .map(str::to_owned)
        .collect()
}

/// Whether the command took its words: it did its work (0), found nobody on this network (1), or was ended by the
/// signal (143).
fn ran(done: &Done) -> bool {
    matches!(done.code, Some(0 | 1 | 143))
}

#[test]
fn every_command_line_is_taken() {
    let Some(lan) = Lan::new(1, "the command lines of the docs") else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let mut wrong = Vec::new();
    let mut tried = 0;
    std::thread::scope(|scope| {
        let mut running = Vec::new();
        for block in of(Kind::Commands) {
            for line in commands(&block.text) {
                let (lan, folder) = (&lan, folder.path());
                let place = block.place.clone();
                running.push(scope.spawn(move || {
                    let line = place_files(folder, &line);
                    let done = shell(lan, folder, &line);
                    (place, line, done)
                }));
            }
        }
        for one in running {
            let (place, line, done) = one.join().expect("it ran");
            tried += 1;
            // 2 is an invalid command line or configuration, 126 and 127 a command that is not there, 101 a panic.
            if !ran(&done) {
                wrong.push(format!("{place}: {line}\n{done:?}"));
            }
        }
    });
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    assert!(tried > 20, "{tried} lines");
}

#[test]
fn every_script_gives_the_release_a_name() {
    let Some(lan) = Lan::new(1, "the scripts of the docs") else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    for block in of(Kind::Script) {
        let script = format!(
            "{}\necho \"$RELEASE_DISTRIBUTION $RELEASE_NODE\"",
            block.text
        );
        let done = shell(&lan, folder.path(), &script);
        let (kind, name) = done
            .out
            .trim()
            .split_once(' ')
            .unwrap_or_else(|| panic!("{}: {done:?}", block.place));
        assert_eq!(kind, "name", "{}", block.place);
        assert!(name.parse::<NodeName>().is_ok(), "{}: {name}", block.place);
    }
}

#[test]
fn every_file_is_read() {
    let Some(lan) = Lan::new(1, "the files of the docs") else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("shown");
    for (kind, command) in [
        (Kind::Peers, "discover --for 500ms --via file --path shown"),
        (
            Kind::Hosts,
            "discover --for 500ms --via hosts_file --hosts-file shown",
        ),
        (Kind::Toml, "attach myapp@10.0.0.7 --config shown"),
    ] {
        for block in of(kind) {
            std::fs::write(&file, &block.text).expect("a file");
            let done = shell(&lan, folder.path(), &format!("rendez {command}"));
            assert!(ran(&done), "{}: {done:?}", block.place);
            // A lookup that fails does not fail at the file, whose name its error would have.
            assert!(!done.err.contains("shown"), "{}: {done:?}", block.place);
            if kind == Kind::Peers {
                assert!(done.out.contains("myapp@10.0.0.7"), "{done:?}");
            }
        }
    }
}
