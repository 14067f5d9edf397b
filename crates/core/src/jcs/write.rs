//! Numbers and text in RFC 8785 form.

use serde_json::Number;

use super::{JcsError, SAFE_INTEGER_MAX};

pub(super) fn number(number: &Number, out: &mut Vec<u8>) -> Result<(), JcsError> {
    let float = number.as_f64().ok_or(JcsError::NonFinite)?;
    if float.abs() > SAFE_INTEGER_MAX {
        return Err(JcsError::Malformed);
    }
    if let Some(integer) = number.as_i64() {
        out.extend_from_slice(integer.to_string().as_bytes());
        return Ok(());
    }
    out.extend_from_slice(es_number(float)?.as_bytes());
    Ok(())
}

/// ECMAScript `Number::toString` of a finite double.
pub(super) fn es_number(float: f64) -> Result<String, JcsError> {
    serde_json_canonicalizer::to_string(&float).map_err(|_| JcsError::NonFinite)
}

pub(super) fn string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut plain = 0;
    for (i, byte) in text.bytes().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.extend_from_slice(text.as_bytes().get(plain..i).unwrap_or_default());
        plain = i + 1;
        escape(byte, out);
    }
    out.extend_from_slice(text.as_bytes().get(plain..).unwrap_or_default());
    out.push(b'"');
}

fn escape(byte: u8, out: &mut Vec<u8>) {
    let short = match byte {
        b'"' => b'"',
        b'\\' => b'\\',
        0x08 => b'b',
        0x09 => b't',
        0x0a => b'n',
        0x0c => b'f',
        0x0d => b'r',
        _ => {
            out.extend_from_slice(format!("\\u{byte:04x}").as_bytes());
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}
