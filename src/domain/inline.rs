//! A short ASCII string that lives in place, so that a line of a payroll is parsed without an allocation.

/// Up to `MAX` ASCII bytes. The unused rest is zero, which makes the derived order that of the text.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Inline<const MAX: usize> {
    bytes: [u8; MAX],
    len: u8,
}

impl<const MAX: usize> Inline<MAX> {
    /// `None` when `text` is longer than `MAX` bytes or is not ASCII.
    pub(super) fn new(text: &[u8]) -> Option<Self> {
        const { assert!(MAX <= u8::MAX as usize, "the length is kept in one byte") };
        let len = u8::try_from(text.len()).ok()?;
        if !text.is_ascii() {
            return None;
        }
        let mut bytes = [0; MAX];
        bytes.get_mut(..text.len())?.copy_from_slice(text);
        Some(Self { bytes, len })
    }

    pub(super) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..usize::from(self.len)]).expect("`new` lets ASCII in only")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_that_of_the_text() {
        let texts = ["A", "AB", "AC", "B", "B0", "BA"];
        let inline = texts.map(|text| Inline::<4>::new(text.as_bytes()).unwrap());
        assert!(inline.is_sorted());
        assert_eq!(inline.map(|text| text.as_str().to_owned()), texts.map(str::to_owned));
    }

    #[test]
    fn what_does_not_fit_or_is_not_ascii_is_refused() {
        assert!(Inline::<4>::new(b"ABCD").is_some());
        assert!(Inline::<4>::new(b"ABCDE").is_none());
        assert!(Inline::<4>::new(&[b'A'; 300]).is_none());
        assert!(Inline::<4>::new("ж".as_bytes()).is_none());
    }
}
