//! What a PostgreSQL role may do: rows of `information_schema.role_table_grants`, as
//! `psql --csv` or `json_agg` print them.

use std::collections::BTreeMap;

use bailiwick_core::permission::Permission;
use serde::Deserialize;

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
struct Grant {
    table_schema: String,
    table_name: String,
    privilege_type: String,
    #[serde(default)]
    is_grantable: String,
}

/// One permission a table, with every privilege on it; the right to grant one on is `GRANT:SELECT`.
pub(super) fn permissions(text: &str) -> Result<Vec<Permission>, String> {
    let grants: Vec<Grant> = if text.trim_start().starts_with('[') {
        serde_json::from_str(text).map_err(|error| error.to_string())?
    } else {
        csv(text)?
    };
    let mut tables: BTreeMap<String, Vec<String>> = BTreeMap::new();
    // A name may hold what a permission cannot: `?` stands for it, as for any one character.
    let named = |c: char| if c.is_whitespace() || c.is_control() { '?' } else { c };
    for grant in grants {
        let table = format!("{}.{}", grant.table_schema, grant.table_name);
        let table: String = table.chars().map(named).collect();
        let actions = tables.entry(table).or_default();
        let mut add = |action: String| {
            if !actions.contains(&action) {
                actions.push(action);
            }
        };
        if grant.is_grantable.eq_ignore_ascii_case("yes") {
            add(format!("GRANT:{}", grant.privilege_type));
        }
        add(grant.privilege_type);
    }
    let permission =
        |(table, actions)| Permission { actions, resources: vec![table], ..Permission::default() };
    Ok(tables.into_iter().map(permission).collect())
}

fn csv(text: &str) -> Result<Vec<Grant>, String> {
    let mut rows = rows(text)?.into_iter();
    let head = rows.next().ok_or("there is no header line")?;
    let column = |name: &str| head.iter().position(|it| it == name);
    let wanted = |name: &str| {
        column(name).ok_or_else(|| format!("the header line has no `{name}`: use psql --csv"))
    };
    let (schema, table) = (wanted("table_schema")?, wanted("table_name")?);
    let privilege = wanted("privilege_type")?;
    let grantable = column("is_grantable");
    let read = |row: Vec<String>| {
        let cell = |at: usize| row.get(at).cloned();
        Some(Grant {
            table_schema: cell(schema)?,
            table_name: cell(table)?,
            privilege_type: cell(privilege)?,
            is_grantable: grantable.and_then(cell).unwrap_or_default(),
        })
    };
    rows.map(|row| read(row).ok_or_else(|| "a row is shorter than the header line".to_owned()))
        .collect()
}

/// RFC 4180: cells may be quoted, and then hold commas, quotes and line ends.
fn rows(text: &str) -> Result<Vec<Vec<String>>, String> {
    let (mut rows, mut row, mut cell) = (Vec::new(), Vec::new(), String::new());
    let (mut quoted, mut any) = (false, false);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                cell.push('"');
            }
            '"' => {
                quoted = !quoted;
                any = true;
            }
            ',' if !quoted => {
                row.push(std::mem::take(&mut cell));
                any = true;
            }
            '\r' if !quoted && chars.peek() == Some(&'\n') => {}
            '\n' if !quoted => {
                if any || !cell.is_empty() {
                    row.push(std::mem::take(&mut cell));
                    rows.push(std::mem::take(&mut row));
                }
                any = false;
            }
            c => cell.push(c),
        }
    }
    if quoted {
        return Err("a quote is not closed".to_owned());
    }
    if any || !cell.is_empty() {
        row.push(cell);
        rows.push(row);
    }
    Ok(rows)
}
