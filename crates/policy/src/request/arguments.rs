//! Arguments of an invocation as tags of one entity.

use cedar_policy::{Entity, EntityAttrEvaluationError, RestrictedExpression};
use serde_json::{Map, Number, Value};

use crate::names::Names;

/// Magnitude Cedar's decimals end at.
const DECIMAL_MAX: f64 = 922_337_203_685_477.0;

/// The entity with one tag for each argument.
pub(super) fn entity(
    names: &Names,
    arguments: &Map<String, Value>,
) -> Result<Entity, EntityAttrEvaluationError> {
    let tags = arguments.iter().map(|(name, value)| (name.clone(), tag(value)));
    Entity::new_with_tags(names.arguments.clone(), [], [], tags.collect::<Vec<_>>())
}

/// What policy sees of one argument: a record with a member for its type. An object has none.
fn tag(value: &Value) -> RestrictedExpression {
    let string = |text: &str| RestrictedExpression::new_string(text.to_owned());
    let mut members = Vec::with_capacity(2);
    match value {
        Value::Null | Value::Object(_) => {}
        Value::Bool(flag) => members.push(("flag", RestrictedExpression::new_bool(*flag))),
        Value::String(text) => members.push(("text", string(text))),
        Value::Number(number) => {
            if let Some(whole) = whole(number) {
                members.push(("whole", RestrictedExpression::new_long(whole)));
            }
            members.push(("decimal", RestrictedExpression::new_decimal(decimal(number))));
        }
        Value::Array(items) => {
            let items = items.iter().map(|item| match item {
                Value::String(text) => string(text),
                other => RestrictedExpression::new_string(other.to_string()),
            });
            members.push(("items", RestrictedExpression::new_set(items.collect::<Vec<_>>())));
        }
    }
    // A record fails only on a member that is there twice.
    RestrictedExpression::new_record(members.into_iter().map(|(name, one)| (name.to_owned(), one)))
        .unwrap_or_else(|_| RestrictedExpression::new_bool(false))
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
