//! Which header fields an edit may name.

use crate::message::Name;

/// Octets of a header field's name that an edit may name.
const NAME_MAX: usize = 128;

/// Whether an edit may name this header field: a token (RFC 3261 25.1), and none of those that the proxy has to write itself.
pub fn is_editable(name: &[u8]) -> bool {
    let token = |octet: &u8| octet.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(octet);
    !name.is_empty() && name.len() <= NAME_MAX && name.iter().all(token) && !is_own(name)
}

/// Whether this header field is the proxy's own, under its long or its compact name.
pub fn is_own(name: &[u8]) -> bool {
    matches!(
        Name::from_bytes(name),
        Name::Via
            | Name::Route
            | Name::RecordRoute
            | Name::From
            | Name::To
            | Name::CallId
            | Name::CSeq
            | Name::MaxForwards
            | Name::ContentLength
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proxys_own_fields_are_known_by_both_names() {
        for own in ["Via", "v", "ROUTE", "Record-Route", "from", "f", "t", "Call-ID", "i", "CSeq", "Max-Forwards", "l"] {
            assert!(is_own(own.as_bytes()) && !is_editable(own.as_bytes()), "{own}");
        }
        for free in ["X-A", "Contact", "m", "P-Asserted-Identity", "Path"] {
            assert!(is_editable(free.as_bytes()), "{free}");
        }
        assert!(["", "a b", "a:b", "ä"].iter().all(|name| !is_editable(name.as_bytes())) && !is_editable(&[b'x'; 129]));
    }
}
