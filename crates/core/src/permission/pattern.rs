//! Patterns with `*` and `?`, compared with text and with each other in bounded time.

/// Whether everything that `text` stands for is covered by `pattern`. `text` may have wildcards of
/// its own: its `*` is covered by a `*` only.
pub(super) fn covers(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut at, mut seen) = (0, 0);
    // Where the last `*` was, and how much of the text it has taken.
    let mut star: Option<(usize, usize)> = None;
    while let Some(byte) = text.get(seen) {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, seen));
                at += 1;
            }
            Some(b'?') if *byte != b'*' => {
                at += 1;
                seen += 1;
            }
            Some(expected) if expected == byte && *byte != b'?' => {
                at += 1;
                seen += 1;
            }
            _ => match star {
                Some((back, taken)) => {
                    at = back + 1;
                    seen = taken + 1;
                    star = Some((back, seen));
                }
                None => return false,
            },
        }
    }
    pattern.get(at..).is_some_and(|rest| rest.iter().all(|byte| *byte == b'*'))
}

/// Whether some text is covered by both patterns.
pub(super) fn overlaps(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    // `row[j]`: the rest of `a` and the rest of `b` from `j` have a text in common. Built from the ends.
    let mut below: Vec<bool> = Vec::new();
    for i in (0..=a.len()).rev() {
        let mut row = vec![false; b.len() + 1];
        for j in (0..=b.len()).rev() {
            let later = |row: &[bool], j: usize| row.get(j).copied().unwrap_or(false);
            let meets = match (a.get(i), b.get(j)) {
                (None, None) => true,
                (Some(b'*'), _) => later(&below, j) || j < b.len() && later(&row, j + 1),
                (_, Some(b'*')) => later(&row, j + 1) || i < a.len() && later(&below, j),
                (Some(x), Some(y)) => (x == y || *x == b'?' || *y == b'?') && later(&below, j + 1),
                _ => false,
            };
            if let Some(cell) = row.get_mut(j) {
                *cell = meets;
            }
        }
        below = row;
    }
    below.first().copied().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("s3:*", "s3:GetObject", true)]
    #[case("s3:Get*", "s3:PutObject", false)]
    #[case("*", "", true)]
    #[case("", "", true)]
    #[case("", "a", false)]
    #[case("a", "", false)]
    #[case("a?c", "abc", true)]
    #[case("a?c", "ac", false)]
    #[case("a*b*c", "axxbyyc", true)]
    #[case("a*b*c", "axxbyy", false)]
    #[case("s3:Get*", "s3:*", false)]
    #[case("s3:*", "s3:Get*", true)]
    #[case("a?c", "a*c", false)]
    #[case("a?c", "a?c", true)]
    #[case("abc", "a?c", false)]
    #[case("a*", "a?c", true)]
    fn a_pattern_covers_what_it_says(#[case] pattern: &str, #[case] text: &str, #[case] is: bool) {
        assert_eq!(covers(pattern, text), is);
    }

    #[rstest]
    #[case("s3:*", "*:GetObject", true)]
    #[case("s3:*", "iam:*", false)]
    #[case("a?c", "ab*", true)]
    #[case("a?c", "b*", false)]
    #[case("*", "*", true)]
    #[case("", "*", true)]
    #[case("", "a", false)]
    fn patterns_overlap_when_one_text_fits_both(
        #[case] a: &str,
        #[case] b: &str,
        #[case] is: bool,
    ) {
        assert_eq!(overlaps(a, b), is);
        assert_eq!(overlaps(b, a), is);
    }

    proptest! {
        #[test]
        fn what_covers_a_pattern_covers_its_texts(a in "[ab*?]{0,6}", b in "[ab*?]{0,6}", text in "[ab]{0,6}") {
            if covers(&a, &b) && covers(&b, &text) {
                prop_assert!(covers(&a, &text), "{a} covers {b} and not {text}");
            }
            if covers(&a, &text) && covers(&b, &text) {
                prop_assert!(overlaps(&a, &b));
            }
        }
    }
}
