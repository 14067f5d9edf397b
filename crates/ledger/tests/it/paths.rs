//! One tile, one path.

use bailiwick_ledger::{EntryReader, TilePath, bundle};
use proptest::prelude::*;

use crate::log::{LogKey, MemoryLog, ORIGIN};

#[test]
fn paths_as_in_the_specification() {
    for (path, expected) in [
        (TilePath::hashes(0, 0, 256), "tile/0/000"),
        (TilePath::hashes(0, 1_234_067, 256), "tile/0/x001/x234/067"),
        (TilePath::hashes(1, 999, 5), "tile/1/999.p/5"),
        (TilePath::hashes(63, 1000, 256), "tile/63/x001/000"),
        (TilePath::entries(0, 1), "tile/entries/000.p/1"),
        (TilePath::entries(1_000_000, 255), "tile/entries/x001/x000/000.p/255"),
    ] {
        let path = path.unwrap();
        assert_eq!(path.to_string(), expected);
        assert_eq!(expected.parse::<TilePath>().unwrap(), path);
    }
    assert!(TilePath::hashes(64, 0, 1).is_err());
    assert!(TilePath::hashes(0, 0, 0).is_err());
    assert!(TilePath::hashes(0, 0, 257).is_err());
    assert!(TilePath::entries(u64::MAX, 256).is_err());
}

#[test]
fn any_other_spelling_is_refused() {
    for bad in [
        "",
        "tile",
        "tile/",
        "tile/0",
        "tile/0/",
        "/tile/0/000",
        "tile/0/000/",
        "tile/0/0",
        "tile/0/00",
        "tile/0/0000",
        "tile/00/000",
        "tile/+1/000",
        "tile/64/000",
        "tile/256/000",
        "tile/-1/000",
        "tile/0/x000/000",
        "tile/0/x001",
        "tile/0/001/000",
        "tile/0/x001/x000",
        "tile/0/00a",
        "tile/0/000.p",
        "tile/0/000.p/",
        "tile/0/000.p/0",
        "tile/0/000.p/05",
        "tile/0/000.p/256",
        "tile/0/000.p/5/6",
        "tile/0/000.p/5.p/5",
        "tile/8/0/000",
        "tile/data/000",
        "tile/entries/../000",
        "tile/0/x001/x001/x001/x001/x001/x001/x001/001",
        "tile/0/\u{661}\u{662}\u{663}",
    ] {
        assert!(bad.parse::<TilePath>().is_err(), "{bad}");
    }
}

#[test]
fn contents_are_those_of_the_log() {
    let log = MemoryLog::of_receipts(300);
    let files = log.publish(&LogKey::new(ORIGIN, 1));
    for path in ["tile/0/000", "tile/0/001.p/44", "tile/1/000.p/1", "tile/entries/001.p/44"] {
        let parsed: TilePath = path.parse().unwrap();
        assert!(parsed.is_within(300));
        assert!(!parsed.is_within(255));
        assert_eq!(parsed.read(&log).unwrap(), files.files[path]);
    }
    // Narrower partial tiles than the newest one are served too.
    let narrow: TilePath = "tile/0/001.p/7".parse().unwrap();
    assert_eq!(narrow.read(&log).unwrap(), files.files["tile/0/001.p/44"][..7 * 32]);
    let wide: TilePath = "tile/0/001.p/45".parse().unwrap();
    assert!(!wide.is_within(300));
    assert!(wide.read(&log).is_err());
    assert!(!"tile/2/000".parse::<TilePath>().unwrap().is_within(300));
    assert!(!"tile/63/000.p/1".parse::<TilePath>().unwrap().is_within(300));
}

#[test]
fn bundles_that_break_off_give_what_is_whole() {
    let entries = MemoryLog::of_receipts(3).entries(0, 3).unwrap();
    let bytes = bundle::encode(&entries).unwrap();
    let (decoded, whole) = bundle::decode(&bytes);
    assert_eq!((decoded.len(), whole), (3, Ok(())));
    for cut in 1..bytes.len() {
        let (decoded, _) = bundle::decode(&bytes[..cut]);
        assert!(decoded.iter().zip(&entries).all(|(found, entry)| found == entry));
    }
    let (decoded, whole) = bundle::decode(&bytes[..bytes.len() - 1]);
    assert_eq!((decoded.len(), whole.unwrap_err().whole), (2, 2));
    assert!(bundle::encode(&[vec![0; 65_536]]).is_none());
    let many = bundle::encode(&vec![b"x"; 257]).unwrap();
    assert_eq!(bundle::decode(&many).1.unwrap_err().whole, 256);
}

proptest! {
    #[test]
    fn every_path_round_trips(level in 0..64_u8, index in 0..1_u64 << 54, width in 1..=256_u16) {
        for path in [TilePath::hashes(level, index, width), TilePath::entries(index, width)] {
            let path = path.unwrap();
            prop_assert_eq!(path.to_string().parse::<TilePath>(), Ok(path));
        }
    }

    #[test]
    fn parsing_never_gives_two_names_to_a_tile(text in "tile/(0|1|entries|[0-9]{1,3})/x?[0-9]{1,4}(/x?[0-9]{3})?(\\.p/[0-9]{1,3})?") {
        if let Ok(path) = text.parse::<TilePath>() {
            prop_assert_eq!(path.to_string(), text);
        }
    }
}
