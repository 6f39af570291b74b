//! Tables for people: a rule under the header, figures to the right, nothing else.

use std::io::{self, Write};

use comfy_table::{CellAlignment, ContentArrangement, LineStyle, Table, TableStyle};
use serde_json::Value;

use super::figures;

/// Blanks to the left and to the right of a cell.
const PADDING: (u16, u16) = (0, 1);
const STYLE: TableStyle = TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));

/// A table with these column heads. A head that begins with `>` is of a column of figures, aligned to the right.
#[must_use]
pub fn table(heads: &[&str]) -> Table {
    let mut table = plain();
    table.set_header(heads.iter().map(|head| head.trim_start_matches('>')));
    for (column, head) in table.column_iter_mut().zip(heads) {
        column.set_padding(PADDING);
        if head.starts_with('>') {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// A table without heads: names on the left, what they name on the right. Names without a value are left out.
#[must_use]
pub fn facts<'a>(rows: impl IntoIterator<Item = (&'a str, String)>) -> Table {
    let mut table = plain();
    for (name, value) in rows.into_iter().filter(|(_, value)| !value.is_empty()) {
        table.add_row([name.to_owned(), value]);
    }
    for column in table.column_iter_mut() {
        column.set_padding(PADDING);
    }
    table
}

fn plain() -> Table {
    let mut table = Table::new();
    table.load_style(STYLE).set_content_arrangement(ContentArrangement::Disabled);
    table
}

/// Prints a table without the white space at the ends of its lines.
pub fn print(out: &mut (impl Write + ?Sized), table: &Table) -> io::Result<()> {
    for line in table.lines() {
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// A member of an answer as text: strings as they are, whole numbers in groups, nothing for `null` and what is absent.
#[must_use]
pub fn text(value: &Value, name: &str) -> String {
    match &value[name] {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Number(number) => number.as_u64().map_or_else(|| number.to_string(), figures::count),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Array(items) => items
            .iter()
            .map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned))
            .collect::<Vec<_>>()
            .join(", "),
        other @ Value::Object(_) => other.to_string(),
    }
}

/// A member that is a number to be typed again: without groups.
#[must_use]
pub fn text_of_number(value: &Value, name: &str) -> String {
    value[name].as_u64().map(|number| number.to_string()).unwrap_or_default()
}

/// A member that is an amount, in groups of three digits.
#[must_use]
pub fn amount(value: &Value, name: &str) -> String {
    figures::amount(&text(value, name))
}
