//! Texts that others have written and that cannot be refused for it: numbers of persons and of cards in them are blotted out.

use super::destination::has_card_number;
use super::number::has_person_number;

/// How many digits of a number stay: by them, whoever knows the number knows it again.
const LEFT: usize = 4;

/// The text, with every digit but the last four of what may be a person's or a card's number replaced by `•`. Its length in
/// characters stays. One in eleven other numbers of twelve digits looks like a person's, and every BIN does.
#[must_use]
pub fn blotted(text: &str) -> String {
    let is_personal = |run: &str| has_person_number(run) || has_card_number(run);
    let mut text = text.to_owned();
    // What is left of a number may make another one with the digits beside it. Every turn takes digits away, so that it ends.
    while is_personal(&text) {
        let alone = each_run(&text, |c| c.is_ascii_digit(), is_personal);
        let grouped = |c: char| c.is_ascii_digit() || matches!(c, ' ' | '.' | '_' | '-');
        text = if alone == text { each_run(&text, grouped, is_personal) } else { alone };
    }
    text
}

/// The text with those of its runs of such characters blotted out that are to be.
fn each_run(text: &str, belongs: impl Fn(char) -> bool, is_personal: impl Fn(&str) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let begin = rest.find(&belongs).unwrap_or(rest.len());
        let (before, from) = rest.split_at(begin);
        let (run, after) = from.split_at(from.find(|c| !belongs(c)).unwrap_or(from.len()));
        out.push_str(before);
        if is_personal(run) {
            let digits = run.bytes().filter(u8::is_ascii_digit).count();
            let mut place = 0;
            out.extend(run.chars().map(|c| {
                place += usize::from(c.is_ascii_digit());
                if c.is_ascii_digit() && place + LEFT <= digits { '•' } else { c }
            }));
        } else {
            out.push_str(run);
        }
        rest = after;
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_of_persons_and_cards_are_blotted_out_and_nothing_else_is() {
        for (text, told) in [
            ("Debt of 830717350867", "Debt of ••••••••0867"),
            ("of 8307 1735 0867, due", "of •••• •••• 0867, due"),
            ("4400430123456787", "••••••••••••6787"),
            ("card 4400-4301-2345-6787.", "card ••••-••••-••••-6787."),
            ("a 830717350867, b 760212350620", "a ••••••••0867, b ••••••••0620"),
        ] {
            assert_eq!(blotted(text), told);
        }
        for text in
            ["", "Writ 2-1187/2026 of 02.10.2026", "830717350860", "ИИН не указан", "KZ86125KZT5004100100"]
        {
            assert_eq!(blotted(text), text);
        }
    }

    proptest! {
        #[test]
        fn no_number_is_left_and_no_character_is_lost(text in "([0-9]{1,4}|[ ._-]|8307173508|67|830717350867|[a-я•]){0,30}") {
            let told = blotted(&text);
            prop_assert!(!has_person_number(&told) && !has_card_number(&told), "{told}");
            prop_assert_eq!(told.chars().count(), text.chars().count());
            prop_assert!(text.chars().zip(told.chars()).all(|(was, is)| was == is || (was.is_ascii_digit() && is == '•')));
        }
    }
}
