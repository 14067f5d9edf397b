//! Rules about one Rust file: lengths, names, clocks, ignored tests.

use crate::masked::Masked;

use super::{Findings, SourceFile};

/// Lines of a file, tests left out.
const FILE_LINES_MAX: usize = 600;

/// Lines of a function, from `fn` to its closing brace.
const FUNCTION_LINES_MAX: usize = 70;

/// Lines of tests inside a file; longer ones have a file of their own.
const INLINE_TEST_LINES_MAX: usize = 150;

/// Names that say nothing about what is in a file.
const EMPTY_NAMES: [&str; 9] =
    ["util", "utils", "helper", "helpers", "common", "manager", "managers", "misc", "mod"];

/// Calls that read the machine's clock.
const CLOCKS: [&str; 7] = [
    "SystemTime::now",
    "Instant::now",
    "Timestamp::now",
    "Zoned::now",
    "Utc::now",
    "Local::now",
    "OffsetDateTime::now_utc",
];

/// Macros that stand for missing code; spelled apart so that this file passes.
const STUBS: [&str; 2] = [concat!("to", "do"), concat!("unimple", "mented")];

pub(super) fn check(file: &SourceFile, masked: &Masked, found: &mut Findings<'_>) {
    names(file, found);
    ignored_tests(masked, found);
    if file.is_test() {
        return;
    }
    lengths(masked, found);
    clocks(file, masked, found);
    for stub in STUBS {
        for at in masked.words(stub).filter(|at| follows(masked, at + stub.len(), '!')) {
            found.add(masked.line_of(at), "stub", format!("{stub}! stands for missing code"));
        }
    }
}

fn names(file: &SourceFile, found: &mut Findings<'_>) {
    let stem = file.path.strip_suffix(".rs").unwrap_or(&file.path);
    let bad = stem.split('/').find(|part| EMPTY_NAMES.contains(part));
    if let Some(part) = bad {
        let message = if part == "mod" {
            "a module foo is foo.rs beside foo/, never mod.rs".to_owned()
        } else {
            format!("\"{part}\" says nothing: name the module after what it holds")
        };
        found.add(1, "name", message);
    }
}

fn ignored_tests(masked: &Masked, found: &mut Findings<'_>) {
    for attribute in ["#[ignore]", "#[ignore "] {
        for (at, _) in masked.code.match_indices(attribute) {
            found.add(masked.line_of(at), "ignored_test", "a test runs or is deleted");
        }
    }
}

fn lengths(masked: &Masked, found: &mut Findings<'_>) {
    let lines = masked.product_lines();
    if lines > FILE_LINES_MAX {
        found.add(1, "file_length", format!("{lines} lines, at most {FILE_LINES_MAX}: split it"));
    }
    for (name, span) in masked.functions() {
        let lines = masked.line_of(span.end) - masked.line_of(span.start) + 1;
        if lines > FUNCTION_LINES_MAX && !masked.is_test(span.start) {
            let message = format!("fn {name} has {lines} lines, at most {FUNCTION_LINES_MAX}");
            found.add(masked.line_of(span.start), "function_length", message);
        }
    }
    for span in masked.test_modules() {
        let lines = masked.line_of(span.end) - masked.line_of(span.start) + 1;
        if lines > INLINE_TEST_LINES_MAX {
            let message = format!("{lines} lines of tests in the file: move them to foo/tests.rs");
            found.add(masked.line_of(span.start), "inline_tests", message);
        }
    }
}

fn clocks(file: &SourceFile, masked: &Masked, found: &mut Findings<'_>) {
    if file.path.ends_with("/clock.rs") {
        return;
    }
    for clock in CLOCKS {
        for at in masked.words(clock).filter(|at| !masked.is_test(*at)) {
            let message = format!("{clock}: `now` is an argument; only clock.rs reads the clock");
            found.add(masked.line_of(at), "clock", message);
        }
    }
}

fn follows(masked: &Masked, at: usize, expected: char) -> bool {
    masked.code.get(at..).is_some_and(|rest| rest.starts_with(expected))
}
