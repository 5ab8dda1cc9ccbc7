//! The lint that holds the house: walls between rooms, and the habits that no compiler checks.
//!
//! Every rule is a pure function of the source tree, and every rule has a planted violation that it must
//! catch: a rule that cannot fail would hold nothing. Rules name absences ("no clock in a machine"), because
//! those are what nobody notices.

mod rules;
mod source;

use rules::RULES;
use source::Tree;

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
fn rule_names_are_unique() {
    let mut names: Vec<&str> = RULES.iter().map(|rule| rule.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), RULES.len());
}
