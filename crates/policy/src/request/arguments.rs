//! Arguments of an invocation as tags of one entity.

use std::borrow::Cow;

use serde_json::{Map, Number, Value};

use crate::names::{Kind, Name};
use crate::question::{EntityFacts, Fact, Members};

/// The entity.
pub(super) const NAME: Name<'static> = Name::new(Kind::Arguments, "call");

/// Magnitude Cedar's decimals end at.
const DECIMAL_MAX: f64 = 922_337_203_685_477.0;

/// The entity with one tag for each argument.
pub(super) fn entity(arguments: &Map<String, Value>) -> EntityFacts<'_> {
    let tags = arguments.iter().map(|(name, value)| (name.as_str(), tag(value))).collect();
    EntityFacts { name: NAME, attributes: Members::new(), groups: Vec::new(), tags }
}

/// What policy sees of one argument: a record with a member for its type. An object has none.
fn tag(value: &Value) -> Fact<'_> {
    let text = |text| Fact::Text(Cow::Borrowed(text));
    let mut members = Members::new();
    match value {
        Value::Null | Value::Object(_) => {}
        Value::Bool(flag) => members.push(("flag", Fact::Flag(*flag))),
        Value::String(string) => members.push(("text", text(string))),
        Value::Number(number) => {
            if let Some(whole) = whole(number) {
                members.push(("whole", Fact::Whole(whole)));
            }
            members.push(("decimal", Fact::Decimal(decimal(number))));
        }
        Value::Array(items) => {
            let items = items.iter().map(|item| match item {
                Value::String(string) => text(string),
                other => Fact::Text(Cow::Owned(other.to_string())),
            });
            members.push(("items", Fact::Set(items.collect())));
        }
    }
    Fact::Record(members)
}

fn whole(number: &Number) -> Option<i64> {
    match (number.as_i64(), number.as_u64(), number.as_f64()) {
        (Some(whole), _, _) => Some(whole),
        (None, Some(_), _) => Some(i64::MAX),
        (None, None, Some(float)) if float.fract() == 0.0 && float.abs() <= DECIMAL_MAX => {
            format!("{float:.0}").parse().ok()
        }
        _ => None,
    }
}

/// A number with four digits, rounded away from zero and cut at the ends of Cedar's range: a
/// limit that the number breaks, its decimal breaks too.
fn decimal(number: &Number) -> String {
    if let Some(whole) = number.as_i64()
        && whole.unsigned_abs() <= 922_337_203_685_477
    {
        return format!("{whole}.0");
    }
    let float = number.as_f64().unwrap_or(f64::MAX);
    let near = format!("{float:.4}");
    let text = match near.parse::<f64>() {
        Ok(same) if same == float => near,
        _ => {
            let away = (float.abs() * 10_000.0).ceil() / 10_000.0;
            format!("{:.4}", away.copysign(float))
        }
    };
    if float.abs() > DECIMAL_MAX {
        let end = DECIMAL_MAX.copysign(float);
        return format!("{end:.1}");
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{decimal, whole};

    #[test]
    fn a_number_never_shrinks_on_its_way_to_policy() {
        let cases: [(Value, &str, Option<i64>); 9] = [
            (json!(100), "100.0", Some(100)),
            (json!(-3), "-3.0", Some(-3)),
            (json!(12.5), "12.5000", None),
            (json!(100.00001), "100.0001", None),
            (json!(-0.00001), "-0.0001", None),
            (json!(7.0), "7.0000", Some(7)),
            (json!(1e18), "922337203685477.0", None),
            (json!(-1e300), "-922337203685477.0", None),
            (json!(u64::MAX), "922337203685477.0", Some(i64::MAX)),
        ];
        for (value, expected, whole_expected) in cases {
            let number = value.as_number().unwrap();
            assert_eq!(decimal(number), expected, "{value}");
            assert_eq!(whole(number), whole_expected, "{value}");
        }
    }
}
