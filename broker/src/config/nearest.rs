//! The valid name that a wrong one was probably meant to be.

/// The candidate closest to `wrong`, or `None` when nothing is close enough to be a slip of the keyboard.
/// Case and the choice between `.`, `_` and `-` count for nothing.
pub fn nearest<'a>(wrong: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wrong_folded = fold(wrong);
    let reach = (wrong_folded.len() / 3).clamp(1, 4);
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        let distance = distance(&wrong_folded, &fold(candidate));
        if distance <= reach && best.is_none_or(|(found, _)| distance < found) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

fn fold(name: &str) -> Vec<char> {
    name.chars()
        .map(|c| {
            if matches!(c, '_' | '-') {
                '.'
            } else {
                c.to_ascii_lowercase()
            }
        })
        .take(NAME_CHARS_MAX)
        .collect()
}

/// Insertions, deletions, replacements and swapped neighbours between two names.
fn distance(a: &[char], b: &[char]) -> usize {
    let width = b.len() + 1;
    let mut before_last: Vec<usize> = vec![0; width];
    let mut last: Vec<usize> = (0..width).collect();
    for (i, &from) in a.iter().enumerate() {
        let mut row = vec![i + 1; width];
        for (j, &to) in b.iter().enumerate() {
            let replaced = last[j] + usize::from(from != to);
            row[j + 1] = replaced.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && from == b[j - 1] && a[i - 1] == to {
                row[j + 1] = row[j + 1].min(before_last[j - 1] + 1);
            }
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

/// Longer names are compared by their beginning only: a configuration name is never longer.
const NAME_CHARS_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 4] = ["listen", "data_dir", "num.partitions", "log.retention.ms"];

    #[test]
    fn slips_find_the_name_that_was_meant() {
        let check =
            |wrong: &str, expected: Option<&str>| assert_eq!(nearest(wrong, NAMES), expected, "{wrong}");
        check("lisen", Some("listen"));
        check("litsen", Some("listen"));
        check("data-dir", Some("data_dir"));
        check("DATA_DIR", Some("data_dir"));
        check("num_partition", Some("num.partitions"));
        check("log.retension.ms", Some("log.retention.ms"));
        check("colour", None);
        check("x", None);
    }

    #[test]
    fn a_swap_of_neighbours_is_one_slip() {
        let chars = |s: &str| s.chars().collect::<Vec<_>>();
        assert_eq!(distance(&chars("ab"), &chars("ba")), 1);
        assert_eq!(distance(&chars("kitten"), &chars("sitting")), 3);
        assert_eq!(distance(&chars(""), &chars("abc")), 3);
    }
}
