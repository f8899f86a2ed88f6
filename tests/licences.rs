//! Every package that we build has a licence that `deny.toml` allows, and one version.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use serde_json::Value;

#[test]
fn every_package_is_allowed() {
    let deny = fs::read_to_string(tapedeck_tests::root().join("deny.toml")).expect("deny.toml");
    let faults = Rules::read(&deny).check(&packages());
    assert!(faults.is_empty(), "{} faults\n{}", faults.len(), faults.join("\n"));
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Package {
    name: String,
    version: String,
    licence: String,
}

// Those that a target of ours is built from, tests and build scripts included.
fn packages() -> BTreeSet<Package> {
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let listed = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--locked", "--filter-platform", &target])
        .current_dir(tapedeck_tests::root())
        .output()
        .expect("cargo runs");
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let metadata: Value = serde_json::from_slice(&listed.stdout).expect("cargo prints JSON");
    let used: BTreeMap<_, _> = array(&metadata["resolve"]["nodes"])
        .map(|node| (text(&node["id"]), array(&node["dependencies"]).map(text).collect::<Vec<_>>()))
        .collect();
    let mut reached = BTreeSet::new();
    let mut next: Vec<&str> = array(&metadata["workspace_members"]).map(text).collect();
    while let Some(id) = next.pop() {
        if reached.insert(id) {
            next.extend(&used[id]);
        }
    }
    let package = |value: &Value| Package {
        name: text(&value["name"]).to_owned(),
        version: text(&value["version"]).to_owned(),
        licence: value["license"].as_str().unwrap_or("none given").to_owned(),
    };
    let reached = |value: &&Value| reached.contains(text(&value["id"]));
    array(&metadata["packages"]).filter(reached).map(package).collect()
}

fn array(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().expect("an array of cargo's metadata").iter()
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text of cargo's metadata")
}

// What deny.toml says, as far as we check it.
#[derive(Debug)]
struct Rules {
    allowed: BTreeSet<String>,
    exceptions: BTreeMap<String, BTreeSet<String>>,
    skipped: BTreeSet<String>,
}

impl Rules {
    fn read(deny: &str) -> Self {
        let deny: toml::Table = deny.parse().expect("deny.toml is TOML");
        let list = |value: &toml::Value| {
            let list = value.as_array().expect("a list of deny.toml").iter();
            list.map(|text| text.as_str().expect("a list of texts").to_owned()).collect()
        };
        let exception = |value: &toml::Value| {
            let name = value["name"].as_str().expect("an exception names a package");
            (name.to_owned(), list(&value["allow"]))
        };
        let skip = |value: &toml::Value| {
            let reason = value["reason"].as_str().expect("a skip has a reason");
            assert!(!reason.is_empty(), "a skip has a reason");
            value["crate"].as_str().expect("a skip names a package").to_owned()
        };
        let licences = &deny["licenses"];
        let exceptions = licences.get("exceptions").and_then(toml::Value::as_array);
        let skips = deny["bans"]["skip"].as_array().expect("bans.skip is a list");
        Self {
            allowed: list(&licences["allow"]),
            exceptions: exceptions.into_iter().flatten().map(exception).collect(),
            skipped: skips.iter().map(skip).collect(),
        }
    }

    fn check(&self, packages: &BTreeSet<Package>) -> Vec<String> {
        let mut faults = Vec::new();
        let none = BTreeSet::new();
        for Package { name, version, licence } in packages {
            let extra = self.exceptions.get(name).unwrap_or(&none);
            let fits = |id: &str| self.allowed.contains(id) || extra.contains(id);
            match satisfied(licence, &fits) {
                Some(true) => {}
                Some(false) => faults.push(format!("{name} {version}: {licence} is not allowed")),
                None => faults.push(format!("{name} {version}: {licence} is no SPDX expression")),
            }
        }
        let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for Package { name, version, .. } in packages {
            if !self.skipped.contains(&format!("{name}@{version}")) {
                versions.entry(name).or_default().push(version);
            }
        }
        for (name, versions) in versions.iter().filter(|(_, versions)| versions.len() > 1) {
            faults.push(format!("{name} in several versions: {}", versions.join(", ")));
        }
        let built = |skip: &&String| {
            packages
                .iter()
                .any(|Package { name, version, .. }| **skip == format!("{name}@{version}"))
        };
        for skip in self.skipped.iter().filter(|skip| !built(skip)) {
            faults.push(format!("deny.toml skips {skip}, which is not built"));
        }
        faults
    }
}

// Whether an SPDX expression can be met with licences that fit; `None` if it is malformed. AND
// binds more tightly than OR; the slash is the old way to write OR.
fn satisfied(expression: &str, fits: &dyn Fn(&str) -> bool) -> Option<bool> {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let mut words = spaced.split_whitespace().peekable();
    let met = any(&mut words, fits)?;
    words.next().is_none().then_some(met)
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn any(words: &mut Words<'_>, fits: &dyn Fn(&str) -> bool) -> Option<bool> {
    let mut met = all(words, fits)?;
    while words.next_if_eq(&"OR").is_some() {
        met |= all(words, fits)?;
    }
    Some(met)
}

fn all(words: &mut Words<'_>, fits: &dyn Fn(&str) -> bool) -> Option<bool> {
    let mut met = one(words, fits)?;
    while words.next_if_eq(&"AND").is_some() {
        met &= one(words, fits)?;
    }
    Some(met)
}

fn one(words: &mut Words<'_>, fits: &dyn Fn(&str) -> bool) -> Option<bool> {
    match words.next()? {
        "(" => {
            let met = any(words, fits)?;
            (words.next()? == ")").then_some(met)
        }
        "AND" | "OR" | "WITH" | ")" => None,
        id if words.next_if_eq(&"WITH").is_some() => {
            Some(fits(&format!("{id} WITH {}", words.next()?)))
        }
        id => Some(fits(id)),
    }
}

#[test]
fn expressions_are_understood() {
    let check = |expression: &str, expected: Option<bool>| {
        let met = satisfied(expression, &|id| ["MIT", "ISC"].contains(&id));
        assert_eq!(met, expected, "{expression}");
    };
    check("MIT", Some(true));
    check("GPL-3.0", Some(false));
    check("GPL-3.0 OR MIT", Some(true));
    check("GPL-3.0/MIT", Some(true));
    check("GPL-3.0 AND MIT", Some(false));
    check("MIT AND ISC", Some(true));
    check("MIT OR ISC AND GPL-3.0", Some(true));
    check("(MIT OR ISC) AND GPL-3.0", Some(false));
    check("MIT WITH LLVM-exception", Some(false));
    check("Apache-2.0 WITH LLVM-exception OR MIT", Some(true));
    for malformed in ["", "none given", "MIT OR", "(MIT", "MIT)", "OR MIT", "MIT ISC"] {
        check(malformed, None);
    }
}

#[test]
fn faults_are_found() {
    let package = |name: &str, version: &str, licence: &str| {
        let [name, version, licence] = [name, version, licence].map(str::to_owned);
        Package { name, version, licence }
    };
    let packages = BTreeSet::from([
        package("a", "1.0.0", "MIT"),
        package("a", "2.0.0", "MIT"),
        package("b", "1.0.0", "CC0-1.0"),
        package("c", "1.0.0", "CC0-1.0"),
        package("d", "1.0.0", "none given"),
        package("e", "1.0.0", "MIT"),
        package("e", "2.0.0", "MIT"),
    ]);
    let rules = Rules::read(
        "[licenses]\nallow = [\"MIT\"]\nexceptions = [{ name = \"b\", allow = [\"CC0-1.0\"] }]\n\
         [bans]\nskip = [{ crate = \"a@1.0.0\", reason = \"old\" },\
                         { crate = \"f@1.0.0\", reason = \"gone\" }]\n",
    );
    let faults = [
        "c 1.0.0: CC0-1.0 is not allowed",
        "d 1.0.0: none given is no SPDX expression",
        "e in several versions: 1.0.0, 2.0.0",
        "deny.toml skips f@1.0.0, which is not built",
    ];
    assert_eq!(rules.check(&packages), faults);
}
