//! Style as a test: what every file of the workspace must look like.

use std::fmt;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

#[test]
fn the_workspace_is_tidy() {
    let root = tapedeck_tests::root();
    let mut faults = Vec::new();
    for path in files(root) {
        let full = root.join(&path);
        let bytes = fs::read(&full).expect("a listed file is readable");
        // Pictures and compressed frames have no style.
        let Ok(text) = String::from_utf8(bytes) else { continue };
        let mode = fs::metadata(&full).expect("a listed file is readable").permissions().mode();
        faults.extend(check(&path, &text, mode & 0o111 != 0));
    }
    let faults: Vec<_> = faults.iter().map(Fault::to_string).collect();
    assert!(faults.is_empty(), "{} faults\n{}", faults.len(), faults.join("\n"));
}

// What is tracked, and what would be with `git add .`.
pub(crate) fn files(root: &Path) -> Vec<String> {
    let listed = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .expect("git is installed");
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let names = String::from_utf8(listed.stdout).expect("file names are UTF-8");
    let names = names.split_terminator('\0');
    // A file that was removed but not yet from the index is no longer there to be read.
    let files: Vec<_> = names.filter(|name| root.join(name).is_file()).map(str::to_owned).collect();
    assert!(files.iter().any(|name| name == "tests/tidy.rs"), "git lists this file");
    files
}

#[derive(Debug, PartialEq)]
struct Fault {
    path: String,
    line: usize,
    what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.what)
    }
}

fn check(path: &str, text: &str, executable: bool) -> Vec<Fault> {
    let mut faults = Vec::new();
    check_place(path, text, executable, &mut faults);
    check_hosts(path, text, &mut faults);
    if is_written_by_hand(path, text) {
        check_space(text, &mut faults);
    }
    if path.ends_with(".rs") {
        check_shape(text, &mut faults);
        check_words(text, &mut faults);
        check_functions(text, &mut faults);
    }
    if path == "Cargo.toml" {
        check_reasons(text, &mut faults);
    }
    faults.sort();
    faults.into_iter().map(|(line, what)| Fault { path: path.to_owned(), line, what }).collect()
}

type Faults = Vec<(usize, String)>;

fn check_place(path: &str, text: &str, executable: bool, faults: &mut Faults) {
    if let Some((folder, _)) = path.split_once('/')
        && !FOLDERS.contains(&folder)
    {
        faults.push((1, format!("{folder}/ is not a room of this house")));
    }
    let names = path.strip_suffix(".rs").into_iter().flat_map(|path| path.split('/'));
    for name in names.filter(|name| VAGUE.contains(name)) {
        faults.push((1, format!("the name {name} does not say what is in it")));
    }
    if path.ends_with("/mod.rs") {
        faults.push((1, "x.rs stands beside the folder x/, not in it".into()));
    }
    let script = text.starts_with("#!/");
    if script && !executable {
        faults.push((1, "a script needs its run bit: chmod +x".into()));
    }
    if executable && !script {
        faults.push((1, "not a script, so it needs no run bit: chmod -x".into()));
    }
}

// A mirror's name or a builder's folder would fail on every other machine.
fn check_hosts(path: &str, text: &str, faults: &mut Faults) {
    let lock = Path::new(path).file_name().is_some_and(|name| name == "Cargo.lock");
    for (line, text) in numbered(text) {
        if lock {
            if text.starts_with("source = ") && text != SOURCE {
                faults.push((line, "a package that is not from the public registry".into()));
            }
            continue;
        }
        for host in HOSTS.iter().map(|words| words.concat()) {
            if text.contains(&host) {
                faults.push((line, format!("names the registry host {host}")));
            }
        }
        for folder in MACHINE.iter().map(|words| words.concat()) {
            let starts = |at: usize| !text[..at].ends_with(is_in_a_path);
            if text.match_indices(&folder).any(|(at, _)| starts(at)) {
                faults.push((line, format!("{folder} is a folder of one machine")));
            }
        }
    }
}

fn check_space(text: &str, faults: &mut Faults) {
    for (line, text) in numbered(text) {
        if text.ends_with([' ', '\t', '\r']) {
            faults.push((line, "space at the end of the line".into()));
        }
    }
    if !text.is_empty() && !text.ends_with('\n') {
        faults.push((text.lines().count(), "the last line has no end".into()));
    }
}

fn check_shape(text: &str, faults: &mut Faults) {
    if !text.starts_with("//! ") {
        faults.push((1, "the first line does not say what the file is: //! …".into()));
    }
    let lines = text.lines().count();
    if lines > FILE_LINES_MAX {
        faults.push((1, format!("{lines} lines: at most {FILE_LINES_MAX}")));
    }
    for (line, text) in numbered(text) {
        let columns = text.chars().count();
        if columns > COLUMNS_MAX {
            faults.push((line, format!("{columns} columns: at most {COLUMNS_MAX}")));
        }
    }
}

fn check_words(text: &str, faults: &mut Faults) {
    for (line, text) in numbered(text) {
        let code = text.trim_start();
        if code.starts_with("//") {
            continue;
        }
        for word in UNFINISHED {
            let call = format!("{word}!");
            let starts =
                |at: usize| !code[..at].ends_with(|c: char| c == '_' || c.is_alphanumeric());
            if code.match_indices(&call).any(|(at, _)| starts(at)) {
                faults.push((line, format!("{call} is left in")));
            }
        }
        if code.starts_with(&["#[", "ignore"].concat()) {
            faults.push((line, "a test that cannot run calls skip, so that it shows".into()));
        }
        if code.starts_with("pub use ") && code.ends_with("::*;") {
            faults.push((line, "names are exported one by one".into()));
        }
    }
}

// The code is formatted, so a function ends where a brace stands under its first word.
fn check_functions(text: &str, faults: &mut Faults) {
    let mut open: Vec<(usize, usize)> = Vec::new();
    for (line, text) in numbered(text) {
        let code = text.trim_start();
        let indent = text.len() - code.len();
        if code.is_empty() {
            continue;
        }
        // What is further in than this line has ended without a brace of its own.
        open.retain(|&(_, depth)| depth <= indent);
        if let Some(&(start, depth)) = open.last()
            && depth == indent
        {
            let ends = code == "}" || code.ends_with(';') || code.ends_with("{}");
            let lines = line - start + 1;
            if code == "}" && lines > FUNCTION_LINES_MAX {
                let fault = format!("a function of {lines} lines: at most {FUNCTION_LINES_MAX}");
                faults.push((start, fault));
            }
            if ends || is_function(code) {
                open.pop();
            }
        }
        let whole = code.ends_with(['}', ';']);
        if is_function(code) && !whole {
            open.push((line, indent));
        }
    }
}

fn is_function(code: &str) -> bool {
    let before = ["pub", "const", "async", "unsafe", "extern", "\"C\"", "default"];
    let word = code.split(' ').find(|word| !before.contains(word) && !word.starts_with("pub("));
    word == Some("fn")
}

fn check_reasons(manifest: &str, faults: &mut Faults) {
    let mut inside = false;
    let mut above = "";
    for (line, text) in numbered(manifest) {
        if text.starts_with('[') {
            inside = text == "[workspace.dependencies]";
        }
        // Our own rooms are described in ARCHITECTURE.md.
        let foreign = inside && text.contains(" = ") && !text.contains("path = ");
        if foreign && !text.starts_with('#') && !above.starts_with("# ") {
            let name = text.split(' ').next().unwrap_or_default();
            faults.push((line, format!("{name} has no comment above it that says why it is here")));
        }
        above = text;
    }
}

fn is_written_by_hand(path: &str, text: &str) -> bool {
    let kinds = ["rs", "toml", "md", "sh", "py", "sql", "yml", "yaml", "mjs", "js", "css", "html"];
    let kind = Path::new(path).extension().and_then(|kind| kind.to_str());
    text.starts_with("#!/") || kind.is_some_and(|kind| kinds.contains(&kind))
}

fn is_in_a_path(c: char) -> bool {
    c.is_alphanumeric() || "._-~*$})".contains(c)
}

fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    // Not `lines`, which would hide a carriage return.
    (1..).zip(text.split_terminator('\n'))
}

const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;
const COLUMNS_MAX: usize = 100;
const FOLDERS: [&str; 9] =
    [".ci", "benches", "docker", "docs", "engine", "lifecycle", "migrations", "sinks", "tests"];
const VAGUE: [&str; 8] =
    ["util", "utils", "common", "helper", "helpers", "misc", "prelude", "types"];
const UNFINISHED: [&str; 3] = ["todo", "unimplemented", "dbg"];
const SOURCE: &str =
    concat!("source = \"registry+https://github.com/rust-lang/crates", ".io-index\"");
// In pieces, so that this file does not contain what it looks for.
const HOSTS: [[&str; 2]; 8] = [
    ["index.crates", ".io"],
    ["static.crates", ".io"],
    ["rust-lang/crates", ".io-index"],
    ["pypi", ".org"],
    ["pythonhosted", ".org"],
    ["registry.npmjs", ".org"],
    ["registry.yarnpkg", ".com"],
    ["deb.debian", ".org"],
];
const MACHINE: [[&str; 2]; 2] = [["/wo", "rk/"], ["/ro", "ot/"]];

#[test]
fn faults_of_shape_are_found() {
    assert_eq!(found("//! A\n\nfn f() {}\n"), [] as [String; 0]);
    assert_eq!(found("fn f() {}\n"), ["1: the first line does not say what the file is: //! …"]);
    let wide = format!("//! A\n// {}é\n", "x".repeat(97));
    assert_eq!(found(&wide), ["2: 101 columns: at most 100"]);
    assert_eq!(found(&wide.replace('é', "")), [] as [String; 0]);
    let long = format!("//! A\n{}", "//\n".repeat(500));
    assert_eq!(found(&long), ["1: 501 lines: at most 500"]);
    assert_eq!(found("//! A \n"), ["1: space at the end of the line"]);
    assert_eq!(found("//! A\r\n"), ["1: space at the end of the line"]);
    assert_eq!(found("//! A"), ["1: the last line has no end"]);
}

#[test]
fn long_functions_are_found() {
    let body = |lines: usize| "        g();\n".repeat(lines);
    let method = |lines| {
        let body = body(lines);
        format!("//! A\nimpl T {{\n    pub(crate) const fn f() {{\n{body}    }}\n}}\n")
    };
    assert_eq!(found(&method(68)), [] as [String; 0]);
    assert_eq!(found(&method(69)), ["3: a function of 71 lines: at most 70"]);
    // A function in a function does not hide the outer one.
    let inner = format!("//! A\nfn f() {{\n    fn g() {{\n    }}\n{}}}\n", body(80));
    assert_eq!(found(&inner), ["2: a function of 84 lines: at most 70"]);
    // What has no body, or one on its own line, does not reach to the next brace.
    let trait_ = format!("//! A\nfn a(\n    b: B,\n) -> C;\nstruct D {{\n{}}}\n", body(80));
    assert_eq!(found(&trait_), [] as [String; 0]);
    let empty = format!("//! A\nfn a(\n    b: B,\n) {{}}\nstruct D {{\n{}}}\n", body(80));
    assert_eq!(found(&empty), [] as [String; 0]);
}

#[test]
fn forbidden_words_are_found() {
    let code = |code: &str| found(&format!("//! A\n{code}\n"));
    for word in UNFINISHED {
        assert_eq!(code(&format!("let x = {word}!(y);")), [format!("2: {word}! is left in")]);
        assert_eq!(code(&format!("// {word}! in words")), [] as [String; 0]);
        assert_eq!(code(&format!("my_{word}!(y);")), [] as [String; 0]);
    }
    let skipped = "2: a test that cannot run calls skip, so that it shows";
    assert_eq!(code(&["#[", "ignore = \"slow\"]"].concat()), [skipped]);
    assert_eq!(code("pub use a::*;"), ["2: names are exported one by one"]);
}

#[test]
fn wrong_places_are_found() {
    let at = |path: &str, mode| lines(&check(path, "//! A\n", mode));
    assert_eq!(at("engine/src/clock.rs", false), [] as [String; 0]);
    assert_eq!(at("src/main.rs", false), ["1: src/ is not a room of this house"]);
    for path in ["engine/src/utils.rs", "sinks/utils/pad.rs"] {
        assert_eq!(at(path, false), ["1: the name utils does not say what is in it"]);
    }
    assert_eq!(at("sinks/src/a/mod.rs", false), ["1: x.rs stands beside the folder x/, not in it"]);
    let bit = "1: not a script, so it needs no run bit: chmod -x";
    assert_eq!(at("sinks/src/a.rs", true), [bit]);
    let script = lines(&check("tests/run", "#!/bin/sh\n", false));
    assert_eq!(script, ["1: a script needs its run bit: chmod +x"]);
    assert_eq!(check("tests/run", "#!/bin/sh\n", true), []);
}

#[test]
fn hosts_and_folders_of_one_machine_are_found() {
    let page = |text: &str| lines(&check("docs/a.md", &format!("{text}\n"), false));
    for host in HOSTS.iter().map(|words| words.concat()) {
        let fault = format!("1: names the registry host {host}");
        assert_eq!(page(&format!("from https://{host}/simple")), [fault]);
    }
    for folder in MACHINE.iter().map(|words| words.concat()) {
        let fault = format!("1: {folder} is a folder of one machine");
        assert_eq!(page(&format!("see {folder}a")), [fault]);
        assert_eq!(page(&format!("see ..{folder}a")), [] as [String; 0]);
    }
    assert_eq!(check("Cargo.lock", &format!("{SOURCE}\n"), false), []);
    let mirror = lines(&check("Cargo.lock", "source = \"registry+https://a.b/c\"\n", false));
    assert_eq!(mirror, ["1: a package that is not from the public registry"]);
}

#[test]
fn a_dependency_without_a_reason_is_found() {
    let manifest = "[workspace.dependencies]\n# Ours.\na = { path = \"a\" }\nb = { path = \"b\" }\n\
                    # Why.\nc = \"1\"\nd = \"2\"\n\n[profile.dev]\nopt-level = 1\n";
    let fault = "7: d has no comment above it that says why it is here";
    assert_eq!(lines(&check("Cargo.toml", manifest, false)), [fault]);
}

fn found(text: &str) -> Vec<String> {
    lines(&check("engine/src/a.rs", text, false))
}

fn lines(faults: &[Fault]) -> Vec<String> {
    faults.iter().map(|fault| format!("{}: {}", fault.line, fault.what)).collect()
}
