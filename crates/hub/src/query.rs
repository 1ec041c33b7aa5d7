//! The members of a query string.

/// The value of a member, percent-decoded. `+` stays a plus, since a key in base64 has some and never has a space.
pub(crate) fn member(query: &str, name: &str) -> Option<String> {
    query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        (percent_decode(key)? == name).then(|| percent_decode(value)).flatten()
    })
}

fn percent_decode(text: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(if byte == b'%' { hex_digit(bytes.next()?)? << 4 | hex_digit(bytes.next()?)? } else { byte });
    }
    String::from_utf8(decoded).ok()
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(query: &str, expected: Option<&str>) {
        assert_eq!(member(query, "apiKey").as_deref(), expected, "{query}");
    }

    #[test]
    fn members_are_decoded() {
        check("deviceId=x&apiKey=a%2Bb%2Fc%3D%3D", Some("a+b/c=="));
        check("apiKey=a+b/c==", Some("a+b/c=="));
        check("api%4Bey=x", Some("x"));
        check("apiKey=", Some(""));
        check("apiKey", None);
        check("", None);
        check("apiKey=%2", None);
        check("apiKey=%zz", None);
        check("apiKey=%ff", None);
    }
}
