//! Parsed values: past this room there is no raw string for a number, an amount or a code.
