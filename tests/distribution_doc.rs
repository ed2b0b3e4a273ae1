//! Holds the table of flags in `docs/distribution.md` to what the handshake tells and demands.
#![cfg(feature = "node")]

use std::collections::BTreeMap;

use rendez::dist::Flags;
use rendez::dist::handshake::Version;

/// For each flag in the table, whether it is told and whether it is demanded, as the table says.
fn table() -> BTreeMap<String, (String, String)> {
    let text = include_str!("../docs/distribution.md");
    let rows = text
        .lines()
        .skip_while(|line| *line != "## Flags")
        .take_while(|line| *line != "## Frames");
    let row = |line: &str| {
        let mut cells = line.trim_matches('|').split('|').map(str::trim);
        let flag = cells.next()?.strip_prefix('`')?.strip_suffix('`')?;
        let (told, demanded) = (cells.next()?, cells.next()?);
        Some((flag.to_owned(), (told.to_owned(), demanded.to_owned())))
    };
    rows.filter_map(row).collect()
}

#[test]
fn the_table_of_flags_says_what_is_done() {
    let table = table();
    let names: Vec<_> = Flags::all().iter_names().map(|(name, _)| name).collect();
    assert!(names.len() > 20, "{names:?}");
    for (name, flag) in Flags::all().iter_names() {
        let (told, demanded) = table
            .get(name)
            .unwrap_or_else(|| panic!("no row for {name}"));
        let says = match told.as_str() {
            "yes" => [true, true],
            "if visible" => [false, true],
            // Decided in the handshake.
            "as it is asked" => continue,
            "no" => [false, false],
            other => panic!("{name}: {other}"),
        };
        let does = [false, true].map(|visible| Flags::claimed(visible).contains(flag));
        assert_eq!(
            says, does,
            "{name} is told, for a hidden and a visible node"
        );
        let says = match demanded.as_str() {
            "yes" => [true, true],
            "in version 6" => [false, true],
            "no" => [false, false],
            other => panic!("{name}: {other}"),
        };
        let does =
            [Version::V5, Version::V6].map(|version| Flags::required(version).contains(flag));
        assert_eq!(says, does, "{name} is demanded, in version 5 and 6");
    }
    assert_eq!(
        table.len(),
        names.len(),
        "a row for each flag, and no other"
    );
}
