//! Two sides' answers, field by field, and the listing of what may differ: the tables of `docs/compatibility.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::normal::key_of;
use super::talk::Step;

/// One field that differs, in some versions of the same case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Difference {
    api: String,
    /// `case: path.to.the[element].field`
    place: String,
    kafka: String,
    ours: String,
}

/// A row of the listing. A `*` stands for anything.
#[derive(Clone, Debug)]
pub struct Listed(Difference);

/// All fields that differ, each with the versions in which it does.
pub fn differences(kafka: &[Step], ours: &[Step]) -> BTreeMap<Difference, BTreeSet<i16>> {
    assert_eq!(kafka.len(), ours.len(), "both are asked the same");
    let mut found: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for (kafka, ours) in kafka.iter().zip(ours) {
        let asked = |step: &Step| (step.api, step.version, step.case.clone());
        assert_eq!(asked(kafka), asked(ours), "both are asked the same");
        let [theirs_all, mine_all] = [fields(&kafka.answer), fields(&ours.answer)];
        let places: BTreeSet<_> = theirs_all.keys().chain(mine_all.keys()).collect();
        for place in places {
            let [theirs, mine] = [&theirs_all, &mine_all].map(|fields| match fields.get(place) {
                Some(value) => value.clone(),
                None => ABSENT.to_owned(),
            });
            if theirs != mine && !is_within_what_one_lacks(place, &theirs_all, &mine_all) {
                let difference = Difference {
                    api: kafka.api.spec().name.to_owned(),
                    place: format!("{}: {place}", kafka.case),
                    kafka: theirs,
                    ours: mine,
                };
                found.entry(difference).or_default().insert(kafka.version);
            }
        }
    }
    found
}

/// Differences that are not listed, and, where everything was asked, listings of what does not differ.
pub fn complaints(
    found: &BTreeMap<Difference, BTreeSet<i16>>,
    listing: &[Listed],
    everything: bool,
) -> Vec<String> {
    let unlisted = found
        .iter()
        .filter(|(difference, _)| !listing.iter().any(|row| row.covers(difference)))
        .map(|(difference, versions)| format!("{difference} (not listed; in versions {versions:?})"));
    let unused = listing
        .iter()
        .filter(|row| everything && !found.keys().any(|difference| row.covers(difference)))
        .map(|row| format!("{row} (listed, and nothing differs there)"));
    unlisted.chain(unused).collect()
}

impl Listed {
    fn covers(&self, difference: &Difference) -> bool {
        let Listed(row) = self;
        row.api == difference.api
            && matches(&row.place, &difference.place)
            && matches(&row.kafka, &difference.kafka)
            && matches(&row.ours, &difference.ours)
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            api,
            place,
            kafka,
            ours,
        } = self;
        write!(f, "| {api} | `{place}` | `{kafka}` | `{ours}` |")
    }
}

impl fmt::Display for Listed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The rows of the page's tables: API, place, Kafka's value, ours, and the reason, which must be there. A place of
/// several, `a.{b,c}`, is as many rows.
pub fn listing(page: &str) -> Vec<Listed> {
    let cells = |line: &str| -> Vec<String> {
        let inner = line.trim().trim_start_matches('|').trim_end_matches('|');
        inner
            .split(" | ")
            .map(|cell| cell.trim().trim_matches('`').to_owned())
            .collect()
    };
    let rows = page
        .lines()
        .filter(|line| line.starts_with("| ") && line.contains('`'));
    rows.flat_map(|line| match <[String; 5]>::try_from(cells(line)) {
        Ok([api, places, kafka, ours, why]) if !why.is_empty() => {
            let row = |place| {
                Listed(Difference {
                    api: api.clone(),
                    place,
                    kafka: kafka.clone(),
                    ours: ours.clone(),
                })
            };
            each(&places).into_iter().map(row).collect::<Vec<_>>()
        }
        _ => panic!("not API, place, Kafka's, ours and a reason: {line}"),
    })
    .collect()
}

/// Rows of the page that name nobody who was shown to be unharmed: no test of `tests/compat` and no row of
/// `docs/clients.md`, which are what `shown` has. A row that says `As above` means the one before it.
pub fn unproven(page: &str, shown: &BTreeSet<String>) -> Vec<String> {
    let mut above = false;
    let mut unproven = Vec::new();
    for line in page
        .lines()
        .filter(|line| line.starts_with("| ") && line.contains('`'))
    {
        let reason = line.rsplit(" | ").next().expect("a split has a last part");
        let mut named = reason.split('`').skip(1).step_by(2);
        let proven = named.any(|name| shown.contains(name)) || reason.contains(EVERY_CLIENT);
        above = proven || above && reason.starts_with(AS_ABOVE);
        if !above {
            unproven.push(format!("{line} (nobody is named who was shown to be unharmed)"));
        }
    }
    unproven
}

/// The tests of `tests/compat` and the rows of `docs/clients.md`.
pub fn shown() -> BTreeSet<String> {
    let room = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = ["compat/librdkafka", "compat/console"].map(|folder| room.join(folder));
    let files = folders.iter().flat_map(|folder| {
        let entries = fs::read_dir(folder).expect("a folder of tests");
        entries.map(|entry| entry.expect("an entry").path())
    });
    let python = files.filter(|path| path.extension().is_some_and(|it| it == "py"));
    let tests = python.flat_map(|path| {
        let text = fs::read_to_string(path).expect("a file of tests");
        let names = text.lines().filter_map(|line| line.strip_prefix("def "));
        let names = names.filter_map(|line| Some(line.split_once('(')?.0.to_owned()));
        names.filter(|name| name.starts_with("test_")).collect::<Vec<_>>()
    });
    let clients = fs::read_to_string(room.join("../docs/clients.md")).expect("the page of clients");
    let rows = clients.lines().filter_map(|line| line.strip_prefix("| "));
    let rows = rows.filter_map(|line| Some(line.split_once(" | ")?.0.to_owned()));
    tests.chain(rows).collect()
}

/// What a text with `{one,other}` in it stands for.
fn each(text: &str) -> Vec<String> {
    let parts = text.split_once('{').and_then(|(before, rest)| {
        let (inner, after) = rest.split_once('}')?;
        Some((before, inner, after))
    });
    let Some((before, inner, after)) = parts else {
        return vec![text.to_owned()];
    };
    let ends = each(after);
    let all = inner.split(',');
    all.flat_map(|one| ends.iter().map(move |end| format!("{before}{one}{end}")))
        .collect()
}

type Fields = BTreeMap<String, String>;

/// An answer's fields by their place.
fn fields(answer: &Value) -> Fields {
    let mut fields = BTreeMap::new();
    collect(answer, String::new(), &mut fields);
    fields
}

/// Whether an element that the place lies in is there on one side only: that is one difference, not as many as it has
/// fields.
fn is_within_what_one_lacks(place: &str, one: &Fields, other: &Fields) -> bool {
    let elements = place.match_indices(']').map(|(at, _)| &place[..=at]);
    elements
        .filter(|element| *element != place)
        .any(|element| one.contains_key(element) != other.contains_key(element))
}

fn collect(value: &Value, place: String, fields: &mut Fields) {
    match value {
        Value::Object(inner) => {
            for (name, value) in inner {
                let dot = if place.is_empty() { "" } else { "." };
                collect(value, format!("{place}{dot}{name}"), fields);
            }
        }
        Value::Array(elements) if elements.iter().any(Value::is_object) => {
            let mut last = None;
            let mut again = 0;
            for (index, element) in elements.iter().enumerate() {
                let key = key_of(element).map_or_else(|| index.to_string(), |key| key.trim().to_owned());
                again = if last.as_ref() == Some(&key) { again + 1 } else { 0 };
                let mark = "'".repeat(again);
                let place = format!("{place}[{key}{mark}]");
                fields.insert(place.clone(), "there".to_owned());
                collect(element, place, fields);
                last = Some(key);
            }
        }
        other => {
            fields.insert(place, other.to_string().replace('|', "/"));
        }
    }
}

/// Whether a text is what a pattern says, in which `*` stands for anything.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().expect("a split has a first part");
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let mut last = None;
    for part in parts {
        if let Some(between) = last.replace(part) {
            let Some(at) = rest.find(between) else {
                return false;
            };
            rest = &rest[at + between.len()..];
        }
    }
    last.map_or(rest.is_empty(), |end| rest.ends_with(end))
}

/// How a reason says that it is the one of the row before.
const AS_ABOVE: &str = "As above";
/// How a reason names all that any client does.
const EVERY_CLIENT: &str = "every row of clients.md";
/// Where one side has no such field.
const ABSENT: &str = "–";

#[cfg(test)]
mod tests {
    use super::*;
    use millstream_protocol::api::ApiKey;
    use serde_json::json;

    #[test]
    fn patterns_match_with_stars_for_anything() {
        for (pattern, text) in [
            ("a", "a"),
            ("*", ""),
            ("a*", "ab"),
            ("a*c*e", "abcde"),
            ("*b", "ab"),
            ("a**b", "ab"),
        ] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("a", "ab"), ("a*c", "ab"), ("a*bc*c", "abc"), ("", "a")] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn what_differs_is_listed_and_what_is_listed_differs() {
        let step = |error_code: i32, version| Step {
            api: ApiKey::Fetch,
            version,
            case: "a case".to_owned(),
            answer: json!({"error_code": error_code, "topics": [{"name": "t"}]}),
        };
        let kafka = [step(1, 4), step(1, 5), step(2, 6)];
        let ours = [step(1, 4), step(3, 5), step(3, 6)];
        let found = differences(&kafka, &ours);
        let row = |kafka: &str| {
            let page = format!("| API | place |\n| Fetch | `a *: error_code` | `{kafka}` | `3` | a reason |");
            listing(&page)
        };
        assert_eq!(complaints(&found, &row("*"), true), [""; 0]);
        let some = complaints(&found, &row("1"), true);
        assert_eq!(
            some,
            ["| Fetch | `a case: error_code` | `2` | `3` | (not listed; in versions {6})"]
        );
        let same = differences(&kafka, &kafka);
        let unused = complaints(&same, &row("1"), true);
        assert_eq!(
            unused,
            ["| Fetch | `a *: error_code` | `1` | `3` | (listed, and nothing differs there)"]
        );
        assert_eq!(complaints(&same, &row("1"), false), [""; 0], "not all was asked");
    }

    #[test]
    fn a_place_of_several_is_as_many_rows() {
        let rows = listing("| Fetch | `{a,b*}: c{d,e}.f` | `1` | `3` | a reason |");
        let places: Vec<_> = rows.iter().map(|Listed(row)| &row.place[..]).collect();
        assert_eq!(places, ["a: cd.f", "a: ce.f", "b*: cd.f", "b*: ce.f"]);
    }

    #[test]
    #[should_panic(expected = "a reason")]
    fn a_row_needs_a_reason() {
        listing("| Fetch | `a` | `1` | `3` |  |");
    }

    #[test]
    fn a_row_names_who_was_unharmed() {
        let shown = BTreeSet::from(["test_a".to_owned(), "a row".to_owned()]);
        let reasons = [
            "As above.",
            "Seen: `test_a`.",
            "As above, and more.",
            "`kafka-configs` only shows it.",
            "As above.",
            "Row `a row`.",
            "In every row of clients.md.",
            "`test_b`",
        ];
        let rows = reasons.map(|why| format!("| Fetch | `a` | `1` | `3` | {why} |"));
        let unproven = |rows: &[String]| unproven(&rows.join("\n"), &shown).len();
        let so_many = [1, 1, 1, 2, 3, 3, 3, 4];
        assert_eq!(
            [1, 2, 3, 4, 5, 6, 7, 8].map(|count| unproven(&rows[..count])),
            so_many
        );
    }

    #[test]
    fn every_row_of_the_page_names_who_was_unharmed() {
        let unproven = unproven(include_str!("../../docs/compatibility.md"), &super::shown());
        assert!(unproven.is_empty(), "{}", unproven.join("\n"));
    }

    #[test]
    fn what_one_side_lacks_is_one_difference() {
        let step = |answer| Step {
            api: ApiKey::Fetch,
            version: 4,
            case: String::new(),
            answer,
        };
        let kafka = [step(
            json!({"topics": [{"name": "t", "partitions": [{"index": 1, "a": 2}]}]}),
        )];
        let found = differences(&kafka, &[step(json!({"topics": []}))]);
        let places: Vec<_> = found.keys().map(|it| &it.place[..]).collect();
        assert_eq!(places, [": topics", ": topics[t]"]);
    }

    #[test]
    fn fields_have_places() {
        let answer = json!({"a": 1, "b": [{"name": "x", "c": [1, 2]}, {"name": "x", "c": []}]});
        let fields: Vec<_> = fields(&answer)
            .into_iter()
            .map(|(place, value)| format!("{place}={value}"))
            .collect();
        assert_eq!(
            fields,
            [
                "a=1",
                "b[x']=there",
                "b[x'].c=[]",
                "b[x'].name=\"x\"",
                "b[x]=there",
                "b[x].c=[1,2]",
                "b[x].name=\"x\""
            ]
        );
    }
}
