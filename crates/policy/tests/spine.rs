//! The spine cannot be skipped: each way around it does not compile, and the way along it does.
#![allow(missing_docs, reason = "test code")]

#[test]
fn the_steps_cannot_be_skipped() {
    let cases = trybuild::TestCases::new();
    cases.pass("tests/spine/walked.rs");
    cases.compile_fail("tests/spine/permit_forged.rs");
    cases.compile_fail("tests/spine/permit_spent_twice.rs");
    cases.compile_fail("tests/spine/unverified_decided.rs");
    cases.compile_fail("tests/spine/recorded_forged.rs");
    cases.compile_fail("tests/spine/permit_released_unrecorded.rs");
    cases.compile_fail("tests/spine/denial_taken_for_permit.rs");
}
