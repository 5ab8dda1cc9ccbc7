//! The scenario files that come with the program.

/// A file and the word that selects it.
#[derive(Clone, Copy, Debug)]
pub struct BuiltIn {
    pub name: &'static str,
    pub text: &'static str,
}

macro_rules! built_in {
    ($($name:literal),* $(,)?) => {
        /// In the order in which they are listed.
        pub const BUILT_IN: &[BuiltIn] = &[$(BuiltIn {
            name: $name,
            text: include_str!(concat!("../../scenarios/", $name, ".toml")),
        }),*];
    };
}

built_in![
    "produce-max",
    "produce-rate",
    "produce-knee",
    "consume-catch-up",
    "consume-tail",
    "produce-and-drain",
    "many-partitions",
    "single-records",
    "connections-10k",
    "producers-50",
    "soak",
];

/// A built-in scenario by its name.
pub fn find(name: &str) -> Option<BuiltIn> {
    BUILT_IN.iter().copied().find(|scenario| scenario.name == name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::scenario::file;

    #[test]
    fn every_file_of_the_directory_is_built_in() {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios");
        let files: BTreeSet<String> = std::fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        let names = BUILT_IN.iter().map(|scenario| format!("{}.toml", scenario.name));
        assert_eq!(files, names.collect());
    }

    #[test]
    fn every_one_can_be_run_and_has_a_title() {
        for scenario in BUILT_IN {
            let file = file::parse(scenario.name, scenario.text).unwrap_or_else(|error| panic!("{error}"));
            assert!(
                (10..80).contains(&file.title.len()),
                "{}: {}",
                scenario.name,
                file.title
            );
            assert!(!file.loads().is_empty());
        }
    }
}
