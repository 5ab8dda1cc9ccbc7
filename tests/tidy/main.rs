//! The lint that holds the house: walls between rooms, and the habits that no compiler checks.
//!
//! Every rule is a pure function of the source tree, and every rule has a planted violation that it must
//! catch: a rule that cannot fail would hold nothing. Rules name absences ("no clock in a machine"), because
//! those are what nobody notices.

mod habits;
mod rules;
mod source;
mod unsafe_list;
mod walls;

use std::collections::BTreeSet;

use rules::RULES;
use source::Tree;
use walls::WALLS;

#[test]
fn the_tree_keeps_every_rule() {
    let tree = Tree::load();
    let mut report = String::new();
    for rule in RULES {
        for violation in (rule.check)(&tree) {
            report.push_str(&format!(
                "{}: {}: {}\n",
                rule.name, violation.path, violation.what
            ));
        }
    }
    assert!(report.is_empty(), "\n{report}");
}

#[test]
fn every_rule_catches_its_planted_violation() {
    let tree = Tree::load();
    for rule in RULES {
        let planted = tree.with(rule.plant.path, rule.plant.text);
        let caught = (rule.check)(&planted)
            .into_iter()
            .any(|violation| violation.path.contains(rule.plant.blamed));
        assert!(
            caught,
            "rule `{}` did not catch what was planted in {}",
            rule.name, rule.plant.path
        );
    }
}

#[test]
fn no_forbidden_edge_is_overlooked() {
    let tree = Tree::load();
    let ours: BTreeSet<&str> = WALLS.iter().flat_map(|(_, allowed)| *allowed).copied().collect();
    for (room, allowed) in WALLS {
        for name in ours.iter().filter(|name| !allowed.contains(name)) {
            let path = format!("{room}/Cargo.toml");
            let planted = tree.with(&path, &format!("\n[dependencies]\n{name}.workspace = true\n"));
            let caught = walls::manifests_keep_the_walls(&planted);
            assert!(
                caught.iter().any(|it| it.path == path),
                "{room} may depend on {name}"
            );
        }
    }
}

#[test]
fn the_map_shows_every_room() {
    let map = include_str!("../../ARCHITECTURE.md");
    for (room, _) in WALLS {
        assert!(
            map.lines()
                .any(|line| line.starts_with(&format!("| `{room}/` |"))),
            "ARCHITECTURE.md lists {room}"
        );
    }
}

#[test]
fn rule_names_are_unique() {
    let mut names: Vec<&str> = RULES.iter().map(|rule| rule.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), RULES.len());
}

/// The rules about glommio were found out for this version; another one wants them looked at again.
#[test]
fn the_runtime_is_the_one_whose_faults_are_known() {
    let lock = include_str!("../../Cargo.lock");
    let found = lock.split("[[package]]").find_map(|package| {
        let rest = package.split("name = \"glommio\"\nversion = \"").nth(1)?;
        rest.split('"').next()
    });
    assert_eq!(found, Some("0.9.0"));
}

/// Unwinding would free buffers that the kernel may still be writing.
#[test]
fn a_panic_ends_the_released_process() {
    let manifest = include_str!("../../Cargo.toml");
    let release = manifest
        .split("[profile.release]")
        .nth(1)
        .expect("a release profile");
    let profile = release.split("\n[").next().expect("its keys");
    assert!(
        profile.lines().any(|line| line == "panic = \"abort\""),
        "{profile}"
    );
}

/// The first sleep of the process stalls for 30 to 50 ms otherwise, and memory that is mapped stays as it was mapped.
#[test]
fn the_kernel_is_told_about_the_process_first() {
    let tree = Tree::load();
    let code = &tree.get("broker/src/startup/run.rs").expect("the start").code;
    let body = code.split("pub fn run(").nth(1).expect("the start of a broker");
    let body = body.split_once('{').expect("a body").1;
    let first: Vec<&str> = body
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .take(2)
        .collect();
    assert_eq!(
        first,
        ["kernel::register_membarrier();", "kernel::refuse_huge_pages();"]
    );
}
